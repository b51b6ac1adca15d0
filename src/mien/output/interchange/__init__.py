"""Mien's table in the formats of the field, and back: OpenFace, py-feat, ELAN, WebVTT, SubRip."""

from __future__ import annotations

from mien.output.interchange.convert import convert_file
from mien.output.interchange.formats import FORMATS
from mien.output.interchange.wish import Wish

__all__ = ["FORMATS", "Wish", "convert_file"]

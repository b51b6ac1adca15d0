"""Mien's table in the formats of the field, and back: OpenFace, py-feat, ELAN, WebVTT, SubRip."""

from __future__ import annotations

from mien.results.formats.convert import convert_file
from mien.results.formats.formats import FORMATS
from mien.results.formats.wish import Wish

__all__ = ["FORMATS", "Wish", "convert_file"]

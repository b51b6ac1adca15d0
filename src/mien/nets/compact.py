"""The compact network, which ships: a residual network made for processors, quick also in 8 bits.

Against `residual` it has one block a stage and one stage more, no attention, and shortcuts that take each
second pixel: attention and averages cost far more time than their multiply-adds tell, in 8 bits most of
all (docs/model.md).
"""

from __future__ import annotations

from typing import Final

from mien.nets.residual import Residual, ResidualOptions

#: 0.8 M weights and 30 M multiply-adds.
OPTIONS: Final = ResidualOptions(widths=(32, 64, 128, 176), blocks=(1, 1, 1, 1), excite=False, pooled=False)


def compact() -> Residual:
    """A fresh one: (B, 1, 48, 48) float32 gray levels 0..255 to (B, 8) logits in the order of EMOTIONS."""
    return Residual(OPTIONS)

"""Arrays of pixels: their types, and any array that holds one picture to (H, W, 3) RGB uint8.

Legend: H rows, W columns, C channels.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mien.errors import ConfigError, ImageError, require_choice

Image = NDArray[np.uint8]  # (H, W, 3) RGB, or (H, W) gray where said
Floats = NDArray[np.float32]

#: What transparent parts are shown on: white, as a browser or a document does, so that the
#: network sees what the person who made the cut-out saw.
BACKGROUND: Final = "white"
COLORS: Final = ("rgb", "bgr")  # orders of the channels of an array
WHITES: Final = (1, 255, 1023, 4095, 16383, 65535)  # white levels in use: 8, 10, 12, 14 and 16 bits
_ROUNDING: Final = 1e-3  # by which floats may leave 0..1: what resizing adds


def check_shape(name: str, array: NDArray[Any], shape: tuple[int | None, ...]) -> None:
    """Raise a `ValueError` that says expected and actual unless `array` has `shape` (None: any)."""
    fits = array.ndim == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        want = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        raise ValueError(f"{name}: expected an array of shape {want}, got {array.shape}")


def turn_pixels(pixels: Image, transposed: bool, mirrored: bool, flipped: bool) -> Image:
    """(H, W, 3) with rows and columns exchanged, mirrored left to right, then top to bottom, as asked."""
    if transposed:
        pixels = pixels.transpose(1, 0, 2)  # (H, W, 3) -> (W, H, 3)
    if mirrored:
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels[::-1] if flipped else pixels)


def array_to_rgb(
    array: NDArray[Any], *, white: float | None = None, color: str = "rgb"
) -> tuple[Image, tuple[str, ...]]:
    """One picture in an array as (H, W, 3) RGB, and notes on what was taken for what.

    Args:
        array: (H, W), (H, W, C) with 1 to 4 channels: gray, gray and alpha, RGB, RGBA; (C, H, W) with 1, 3
            or 4, where the last axis cannot be the channels; either of them as a batch of one. uint8, bool,
            float in [0, 1], or any number with `white`. RGB of uint8 is passed on, not copied.
        white: the value that is shown white, such as 4095 for 12 bits; 0 is black.
        color: "rgb", or "bgr" for what OpenCV reads.

    Raises:
        ConfigError: `white` or `color` makes no sense.
        ImageError: another shape, or numbers of which the white level is not known.
    """
    require_choice("color", color, COLORS)
    pixels, notes = _channels_last(array)  # (H, W, C)
    levels, more = _to_uint8(pixels, white)
    notes += more
    if levels.shape[2] in {2, 4}:
        alpha = levels[:, :, -1:].astype(np.uint32)  # (H, W, 1)
        if alpha.min() < 255:
            notes += (f"transparent parts shown on {BACKGROUND}",)
        levels = ((levels[:, :, :-1] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    if levels.shape[2] == 1:
        return np.repeat(levels, 3, axis=2), notes  # (H, W, 1) -> (H, W, 3)
    return levels[:, :, ::-1] if color == "bgr" else levels, notes


def _channels_last(array: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """The one picture of an array as (H, W, C)."""
    shape = array.shape
    if array.ndim == 4 and shape[0] == 1:
        array = array[0]
    if array.size and array.ndim == 2:
        return array[:, :, None], ()
    if array.size and array.ndim == 3 and array.shape[2] in {1, 2, 3, 4}:
        return array, ()
    if array.size and array.ndim == 3 and array.shape[0] in {1, 3, 4}:
        note = () if array.shape[0] == 1 else (f"array of shape {shape} taken as channels first",)
        return array.transpose(1, 2, 0), note  # (C, H, W) -> (H, W, C)
    several = array.size and array.ndim in {3, 4}
    raise ImageError(
        "expected an array of one picture, (H, W) gray, (H, W, 3) RGB, (H, W, 4) RGBA or (3, H, W), got "
        f"{shape}{'; several are read by `images`, the frames of a clip by `video`' if several else ''}"
    )


def _to_uint8(pixels: NDArray[Any], white: float | None) -> tuple[Image, tuple[str, ...]]:
    """The same with levels 0..255, scaled so that `white` becomes 255."""
    kind, name = pixels.dtype.kind, pixels.dtype.name
    if kind not in "buif":
        raise ImageError(f"expected an array of numbers, got {name}; convert it with .astype('uint8')")
    if kind == "b":
        return pixels.astype(np.uint8) * np.uint8(255), ()
    if white is not None and not (np.isfinite(white) and white > 0):
        raise ConfigError(f"white: expected the level of white, above 0, got {white!r}")
    if name == "uint8" and white in {None, 255}:
        dark = "values of 0 and 1 only: nearly black; pass floats in [0, 1] before they become whole numbers"
        return pixels, (dark,) if pixels.max() == 1 else ()
    low, high = float(pixels.min()), float(pixels.max())  # NaN if one is
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError(f"expected numbers, the {name} array holds NaN or infinity; replace them")
    unsaid = white is None
    if white is None and kind == "f" and low >= -_ROUNDING and high <= 1 + _ROUNDING:
        white = 1.0
    if white is None or low < -_ROUNDING * white:
        fits = next((w for w in WHITES if high <= w), None)
        advice = (
            "undo the normalization" if low < 0 else f"give white={fits or f'{high:g}'} if that is its white"
        )
        raise ImageError(
            f"expected an array of uint8, of bool, of floats in [0, 1], or a white level, got {name} of "
            f"{low:g}..{high:g}; {advice}"
        )
    notes: tuple[str, ...] = (f"{name}: 0..1 taken as black..white",) if unsaid else ()
    if high > white * (1 + _ROUNDING):
        notes += (f"values up to {high:g} shown as white ({white:g})",)
    scale = 255 / white
    return np.rint(np.clip(pixels.astype(np.float32) * np.float32(scale), 0, 255)).astype(np.uint8), notes

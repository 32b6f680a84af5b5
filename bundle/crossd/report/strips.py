"""Slices as one picture below another, in few bytes and never more than promised."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from torch import Tensor

SLICE_BYTES = 5_500  # of a grey slice at most, on average over its strip
OVERLAY_BYTES = 1_500  # of a slice of a map
LEVELS = 32  # of a map: finer than a tint can be read
_QUALITIES = (75, 60, 45, 30)  # of JPEG
_COLOURS = np.array([[40, 20, 120], [125, 20, 145], [200, 60, 100], [245, 130, 45], [252, 225, 60]])  # 0 … 1


def grey_strip(slices: Tensor) -> str:
    """A data URI of `(slices, rows, columns)`, values 0 to 1, as a JPEG with the slices from top to bottom.

    Quality, and then size, is lowered until the JPEG has no more than `SLICE_BYTES` a slice.
    """
    values = (slices.clamp(0, 1) * 255).round().byte().numpy()
    picture = Image.fromarray(values.reshape(-1, values.shape[-1]))

    def encode(picture: Image.Image, attempt: int) -> bytes:
        return _saved(picture, "JPEG", quality=_QUALITIES[min(attempt, len(_QUALITIES) - 1)])

    return _within(picture, SLICE_BYTES * len(slices), encode, len(_QUALITIES), "image/jpeg")


def tint_strip(slices: Tensor) -> str:
    """A data URI of a map `(slices, rows, columns)`, values 0 to 1, as a PNG that is clear at 0 and opaque at 1."""
    levels = (slices.clamp(0, 1) * LEVELS).round().byte().numpy()
    picture = Image.fromarray(levels.reshape(-1, levels.shape[-1]))
    colours, alphas = palette()

    def encode(picture: Image.Image, attempt: int) -> bytes:
        paletted = picture.copy()
        paletted.putpalette(colours)
        return _saved(paletted, "PNG", transparency=alphas)

    return _within(picture, OVERLAY_BYTES * len(slices), encode, 1, "image/png")


def palette() -> tuple[bytes, bytes]:
    """Red, green, blue of each level of a map, and how opaque each is."""
    at = np.linspace(0, 1, LEVELS + 1)
    stops = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(at, stops, _COLOURS[:, channel]) for channel in range(3)], 1)
    return colours.round().astype(np.uint8).tobytes(), (255 * at**0.7).round().astype(np.uint8).tobytes()


def _within(
    picture: Image.Image, limit: int, encode: Callable[[Image.Image, int], bytes], attempts: int, kind: str
) -> str:
    attempt = 0
    encoded = encode(picture, attempt)
    while len(encoded) > limit and max(picture.size) > 1:
        attempt += 1
        if attempt >= attempts:
            picture = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)), Image.Resampling.BOX)
        encoded = encode(picture, attempt)
    return f"data:{kind};base64,{base64.b64encode(encoded).decode()}"


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()

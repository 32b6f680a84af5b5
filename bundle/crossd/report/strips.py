"""Slices as one picture below another, in few bytes and never more than promised."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

SLICE_BYTES = 5_500  # of a grey slice at most, on average over its strip
OVERLAY_BYTES = 1_500  # of a slice of a map
MASK_BYTES = 2_500  # of a slice of a mask
Encode = Callable[[Image.Image, int], bytes]  # of a picture, and the number of the attempt, the bytes of its file
LEVELS = 32  # of a map: finer than a tint can be read
_QUALITIES = (75, 60, 45, 30)  # of JPEG
_COLOURS = np.array([[40, 20, 120], [125, 20, 145], [200, 60, 100], [245, 130, 45], [252, 225, 60]])  # 0 … 1
_CLASS_COLOURS = (  # Okabe and Ito's, which the colour-blind can tell apart; their black is a white here
    *((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0)),
    *((204, 121, 167), (255, 255, 255)),
)


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
    return _within(picture, OVERLAY_BYTES * len(slices), _paletted(colours, alphas), 1, "image/png")


def mask_strip(labels: Tensor) -> str:
    """A data URI of class indices `(slices, rows, columns)` as a PNG: clear where 0, a tint of the class elsewhere.

    Where a class meets another, or the background, it is opaque: its outline.
    """
    classes = labels.to(torch.int32)
    own = F.pad(classes, (1, 1, 1, 1), value=-1)  # the picture's border is no outline
    around = [own[:, 1:-1, :-2], own[:, 1:-1, 2:], own[:, :-2, 1:-1], own[:, 2:, 1:-1]]
    outline = torch.stack([(other != classes) & (other >= 0) for other in around]).any(0)
    colour = (classes - 1) % len(_CLASS_COLOURS)
    levels = torch.where(classes > 0, 1 + 2 * colour + outline, 0).byte().numpy()
    picture = Image.fromarray(levels.reshape(-1, levels.shape[-1]))
    colours = bytes(value for rgb in ((0, 0, 0), *(rgb for rgb in _CLASS_COLOURS for _ in range(2))) for value in rgb)
    alphas = bytes([0, *(110, 255) * len(_CLASS_COLOURS)])
    encode = _paletted(colours, alphas)
    return _within(picture, MASK_BYTES * len(labels), encode, 1, "image/png", Image.Resampling.NEAREST)


def _paletted(colours: bytes, alphas: bytes) -> Encode:
    def encode(picture: Image.Image, attempt: int) -> bytes:
        paletted = picture.copy()
        paletted.putpalette(colours)
        return _saved(paletted, "PNG", transparency=alphas)

    return encode


def class_colour(index: int) -> str:
    """Of a class in a mask, counted from 1, for a style sheet.

    >>> class_colour(1), class_colour(1) == class_colour(9)
    ('rgb(230,159,0)', True)
    """
    return "rgb({},{},{})".format(*_CLASS_COLOURS[(index - 1) % len(_CLASS_COLOURS)])


def palette() -> tuple[bytes, bytes]:
    """Red, green, blue of each level of a map, and how opaque each is."""
    at = np.linspace(0, 1, LEVELS + 1)
    stops = np.linspace(0, 1, len(_COLOURS))
    colours = np.stack([np.interp(at, stops, _COLOURS[:, channel]) for channel in range(3)], 1)
    return colours.round().astype(np.uint8).tobytes(), (255 * at**0.7).round().astype(np.uint8).tobytes()


def _within(
    picture: Image.Image,
    limit: int,
    encode: Encode,
    attempts: int,
    kind: str,
    resample: Image.Resampling = Image.Resampling.BOX,
) -> str:
    attempt = 0
    encoded = encode(picture, attempt)
    while len(encoded) > limit and max(picture.size) > 1:
        attempt += 1
        if attempt >= attempts:
            picture = picture.resize((max(1, picture.width // 2), max(1, picture.height // 2)), resample)
        encoded = encode(picture, attempt)
    return f"data:{kind};base64,{base64.b64encode(encoded).decode()}"


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()

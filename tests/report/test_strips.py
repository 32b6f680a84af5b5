"""Pictures decode to what went in, and take no more bytes than promised."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from crossd.report.strips import (
    LEVELS,
    MASK_BYTES,
    OVERLAY_BYTES,
    SLICE_BYTES,
    class_colour,
    grey_strip,
    mask_strip,
    palette,
    tint_strip,
)
from PIL import Image


def decoded(uri: str) -> Image.Image:
    kind, _, data = uri.partition(";base64,")
    assert kind in ("data:image/jpeg", "data:image/png")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def size(uri: str) -> int:
    return len(base64.b64decode(uri.partition(",")[2]))


def test_slices_lie_one_below_another() -> None:
    slices = torch.tensor([0.0, 0.5, 1.0])[:, None, None].expand(3, 16, 24)
    picture = decoded(grey_strip(slices))
    assert (picture.mode, picture.size) == ("L", (24, 48))
    rows = np.asarray(picture)[8::16].mean(1)
    np.testing.assert_allclose(rows, [0, 128, 255], atol=3)


def test_a_smooth_picture_survives_compression() -> None:
    across = torch.linspace(0, 1, 128)
    slices = (across[:, None] * across).expand(4, 128, 128)
    seen = np.asarray(decoded(grey_strip(slices))).reshape(4, 128, 128) / 255
    np.testing.assert_allclose(seen, slices, atol=0.03)


@pytest.mark.parametrize("shape", [(25, 256, 256), (3, 200, 100), (1, 1, 1)])
def test_noise_keeps_to_the_limit_too(shape: tuple[int, ...]) -> None:
    noise = torch.rand(shape)
    assert size(grey_strip(noise)) <= SLICE_BYTES * max(1, shape[0])
    assert size(tint_strip(noise)) <= OVERLAY_BYTES * max(1, shape[0])
    assert size(mask_strip((noise * 8).int())) <= MASK_BYTES * max(1, shape[0])


def test_a_map_is_clear_at_0_and_opaque_at_1() -> None:
    picture = decoded(tint_strip(torch.tensor([[[0.0, 0.5, 1.0]]]))).convert("RGBA")
    pixels = [picture.getpixel((x, 0)) for x in range(3)]
    assert [pixel[3] for pixel in pixels] == [0, round(255 * 0.5**0.7), 255]
    assert pixels[2][:3] == (252, 225, 60)
    assert len(palette()[1]) == LEVELS + 1
    bright = [0.3 * r + 0.59 * g + 0.11 * b for r, g, b in zip(*[iter(palette()[0])] * 3, strict=True)]
    assert bright == sorted(bright)  # higher is brighter, for eyes that see no colours too


def test_a_mask_has_a_colour_and_an_outline_for_each_class() -> None:
    labels = torch.zeros(2, 6, 9, dtype=torch.int32)
    labels[1, 1:5, 0:4], labels[1, 1:5, 4:8] = 1, 2
    picture = np.asarray(decoded(mask_strip(labels)).convert("RGBA")).reshape(2, 6, 9, 4)
    assert not picture[0, ..., 3].any()
    for label in (1, 2):
        inside = labels[1].numpy() == label
        (rgb,) = {tuple(pixel) for pixel in picture[1][inside][:, :3].tolist()}
        assert class_colour(label) == "rgb({},{},{})".format(*rgb)
    alphas = picture[1, ..., 3]
    assert alphas[2].tolist() == [110, 110, 110, 255, 255, 110, 110, 255, 0]  # the picture's edge is no outline
    assert (alphas[1, :8] == 255).all()

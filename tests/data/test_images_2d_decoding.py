"""2D images of any mode and depth, as 8-bit values."""

from __future__ import annotations

import io

import numpy as np
import pytest
from crossd.data.images.image_files import decode_image, to_channels
from crossd.data.images.store import ImageStore
from crossd.errors import CrossDError
from PIL import Image

GREY = np.array([[0, 50, 100], [150, 200, 255]], np.uint8)


def encoded(image, format="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, format, **options)
    return file.getvalue()


def palette():
    image = Image.fromarray(GREY).convert("P", palette=Image.Palette.ADAPTIVE)
    assert image.mode == "P"
    return image


@pytest.mark.parametrize(
    ("image", "format"),
    [
        (GREY, "PNG"),
        (GREY, "BMP"),
        (GREY, "TIFF"),
        (np.repeat(GREY[..., None], 3, 2), "PNG"),
        (np.concatenate([np.repeat(GREY[..., None], 3, 2), np.full((2, 3, 1), 255, np.uint8)], 2), "PNG"),
        (Image.fromarray(GREY).convert("LA"), "PNG"),
        (palette(), "PNG"),
        (GREY.astype(np.uint16) * 257, "PNG"),
        (GREY.astype(np.uint16) * 16 + 7, "PNG"),  # 12 bits in 16, with an offset
        (GREY.astype(np.int32) * 1000, "TIFF"),
        (GREY.astype(np.float32) / 1000 - 3, "TIFF"),
    ],
    ids=["L", "bmp", "tiff", "RGB", "RGBA", "LA", "P", "16 bit", "12 bit", "32 bit", "float"],
)
def test_every_mode_gives_the_same_values(image, format):
    content = encoded(image, format)
    assert np.array_equal(decode_image(content, 1), GREY[None])
    assert np.array_equal(decode_image(content, 3), np.repeat(GREY[None], 3, 0))


def test_black_and_white():
    assert decode_image(encoded(Image.fromarray(GREY > 100)), 1).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_colours_become_grey_by_their_brightness():
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    assert decode_image(encoded(red), 1).tolist() == [[[76, 76], [76, 76]]]  # 0.299 of 255
    assert decode_image(encoded(red), 3)[:, 0, 0].tolist() == [255, 0, 0]


def test_what_is_transparent_is_black():
    image = np.full((2, 2, 4), 255, np.uint8)
    image[0, 0, 3] = 0
    image[0, 1, 3] = 128
    assert decode_image(encoded(image), 1).tolist() == [[[0, 128], [255, 255]]]
    assert to_channels(image, 1).tolist() == [[[0, 128], [255, 255]]]
    see_through = Image.fromarray(GREY).convert("P")
    assert decode_image(encoded(see_through, transparency=255), 1)[0, 1, 2] == 0


def test_a_jpeg_of_colours_stored_as_cmyk():
    image = Image.new("CMYK", (8, 8), (0, 0, 0, 0))
    assert decode_image(encoded(image, "JPEG"), 1).min() > 250


def test_the_result_may_be_written_to():
    decode_image(encoded(GREY), 1)[0, 0, 0] = 1
    source = GREY.copy()
    to_channels(source, 1)[0, 0, 0] = 9
    assert source[0, 0] == 0


def test_refusals():
    with pytest.raises(OSError, match="cannot identify image"):
        decode_image(b"no image")
    with pytest.raises(OSError, match="truncated"):
        decode_image(encoded(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8), "JPEG")[:500])
    with pytest.raises(CrossDError, match=r"Grey values must be finite numbers, got NaN"):
        decode_image(encoded(np.array([[1, np.nan]], np.float32), "TIFF"))
    with pytest.raises(CrossDError, match=r"An image is \(height, width\), grey, or .* got \(2, 3, 5\)"):
        to_channels(np.zeros((2, 3, 5), np.uint8), 1)
    with pytest.raises(CrossDError, match=r"`channels` must be one of 1, 3; got 2"):
        ImageStore([], 2)

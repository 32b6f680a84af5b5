"""Files of images, in folders and zip files: the names of what is in them, and what the bytes of each hold."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from crossd.data.folders import hidden
from crossd.errors import CrossDError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
CHANNELS = {1: ["image"], 3: ["red", "green", "blue"]}
_MODE = {1: "L", 3: "RGB"}
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def is_image(name: str) -> bool:
    """Whether a name is that of an image file, by its ending, and not hidden.

    >>> is_image("CXR/000001.JPEG"), is_image("CXR/._000001.jpeg"), is_image("labels.csv")
    (True, False, False)
    """
    return name.lower().endswith(SUFFIXES) and not hidden(name)


def decode_image(content: bytes, channels: int = 1) -> np.ndarray:
    """Decode the content of an image file to `(channels, height, width)` uint8, with 1 or 3 channels.

    Colours become grey by ITU-R 601 where `channels` is 1, grey is repeated where it is 3. What is transparent is laid
    over black. More than 8 bits (16-bit PNG and TIFF, float TIFF) are scaled from the image's own smallest to its
    largest value, since 12-bit data in 16-bit files would come out black otherwise. Of several frames the first counts.

    >>> file = io.BytesIO()
    >>> Image.new("RGBA", (5, 4), (255, 255, 255, 0)).save(file, "PNG")
    >>> image = decode_image(file.getvalue())
    >>> image.shape, int(image.max())
    ((1, 4, 5), 0)
    """
    image: Image.Image
    with Image.open(io.BytesIO(content)) as image:
        if image.mode in _DEEP:
            return to_channels(_to_bytes(np.asarray(image)), channels)
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            rgba = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
        elif image.mode not in ("L", "RGB"):
            image = image.convert("L" if image.mode == "1" else "RGB")
        return to_channels(np.asarray(image), channels)


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """An array as images are held: `(height, width)` or `(height, width, 1, 3 or 4)` to `(channels, height, width)`.

    >>> to_channels(np.zeros((4, 5, 3), np.uint8), 1).shape
    (1, 4, 5)
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)) or 0 in image.shape:
        raise CrossDError(
            f"An image is (height, width), grey, or (height, width, 3), got {image.shape}. Correct its file."
        )
    if image.dtype != np.uint8:
        image = _to_bytes(image)
    if image.ndim == 3 and image.shape[2] == 4:  # alpha, over black
        image = np.rint(image[..., :3] * (image[..., 3:] / 255)).astype(np.uint8)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if (image.ndim == 3) != (channels == 3):
        image = np.asarray(Image.fromarray(np.ascontiguousarray(image)).convert(_MODE[channels]))
    image = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    return np.array(image, order="C")  # a copy: Pillow lends out memory that must not be written to


def _to_bytes(image: np.ndarray) -> np.ndarray:
    """From the smallest to the largest value, over all channels, to 0 to 255; a constant image becomes 0."""
    values = image.astype(np.float64)
    if not np.isfinite(values).all():
        raise CrossDError("Grey values must be finite numbers, got NaN or infinity. Correct the image.")
    low, high = values.min(), values.max()
    return np.rint((values - low) * (255 / (high - low) if high > low else 0)).astype(np.uint8)


class FolderTree:
    """A folder and all below it, also through links.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "ct").mkdir()
    ...     _ = (Path(folder) / "ct" / "1.png").write_bytes(b"one")
    ...     FolderTree(Path(folder)).listed(), FolderTree(Path(folder)).read("ct/1.png")
    ((['ct/1.png'], ['.', 'ct']), b'one')
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def listed(self) -> tuple[list[str], list[str]]:
        """The files and the folders, the empty ones too, sorted: relative to the tree and with `/`."""
        walked = [(Path(f).relative_to(self.path), names) for f, _, names in os.walk(self.path, followlinks=True)]
        files = ((folder / name).as_posix() for folder, names in walked for name in names)
        return sorted(files), sorted(folder.as_posix() for folder, _ in walked)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return (self.path / name).read_bytes()


class ZipTree:
    """The same of a zip file, without unpacking it.

    Nothing is ever written, so no name in the zip can lead out of a folder; names that would (`../x`, `/x`) are refused
    all the same, since such a file was made to do harm. Every process opens the file for itself: a handle that a
    `DataLoader` worker inherits shares its position with the others, and they would read each other's bytes.

    `listed` raises a `CrossDError` for a file that is no whole zip, has a password, or names that lead out of it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with zipfile.ZipFile(f"{folder}/images.zip", "w") as file:
    ...         file.writestr("ct/1.png", b"one")
    ...     tree = ZipTree(Path(folder) / "images.zip")
    ...     tree.listed(), tree.read("ct/1.png")
    ((['ct/1.png'], []), b'one')
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: tuple[int, zipfile.ZipFile] | None = None

    def listed(self) -> tuple[list[str], list[str]]:
        """As `FolderTree.listed`; folders without an entry of their own are not named."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, OSError) as error:
            raise CrossDError(
                f"A zip file of images must be whole, got {self.path}: {error}. Download or copy it again."
            ) from error
        for entry in entries:
            _check(entry, self.path)
        files = sorted(entry.filename for entry in entries if not entry.is_dir())
        return files, sorted(entry.filename.rstrip("/") for entry in entries if entry.is_dir())

    def read(self, name: str) -> bytes:
        """The content of a file."""
        if self._open is None or self._open[0] != os.getpid():
            self._open = (os.getpid(), zipfile.ZipFile(self.path))
        return self._open[1].read(name)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}


ImageTree = FolderTree | ZipTree


def tree_of(path: Path) -> ImageTree:
    """A folder or a zip file as a tree."""
    return FolderTree(path) if path.is_dir() else ZipTree(path)


def _check(entry: zipfile.ZipInfo, path: Path) -> None:
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or (name.parts and ":" in name.parts[0]):
        raise CrossDError(
            f"Names in a zip file stay inside it, got {entry.filename!r} in {path}. Do not use this file; make it "
            "again from the images."
        )
    if entry.flag_bits & 1:
        raise CrossDError(
            f"A zip file of images has no password, got {entry.filename} encrypted in {path}. Unpack it and zip it "
            "without one."
        )

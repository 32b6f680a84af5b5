"""What happens to any file: cut short, bits flipped, bytes too many, another name, something else in its place."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
from crossd.errors import CrossDError

Damage = Callable[[Path, np.random.Generator], None]
"""Damages a copy of a good case in a folder."""


class NotPossible(CrossDError):
    """This damage cannot be done here, for instance to a superuser's permissions."""


def some_file(folder: Path, random: np.random.Generator) -> Path:
    """One of the files, any of them."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return files[random.integers(len(files))]


def truncate(folder: Path, random: np.random.Generator) -> None:
    """Keep a beginning of any length."""
    file = some_file(folder, random)
    os.truncate(file, int(random.integers(1, file.stat().st_size)))


def truncate_all(folder: Path, random: np.random.Generator) -> None:
    """Keep the same share of every file, as when a disk was full."""
    share = random.uniform(0.05, 0.95)
    for file in folder.iterdir():
        os.truncate(file, int(file.stat().st_size * share))


def empty(folder: Path, random: np.random.Generator) -> None:
    """Zero bytes."""
    os.truncate(some_file(folder, random), 0)


def empty_all(folder: Path, random: np.random.Generator) -> None:
    """Zero bytes in every file."""
    for file in folder.iterdir():
        os.truncate(file, 0)


def flip(folder: Path, random: np.random.Generator, among: int | None = None) -> None:
    """Flip 1 to 32 bits anywhere, or among the first bytes."""
    file = some_file(folder, random)
    data = bytearray(file.read_bytes())
    for _ in range(2 ** int(random.integers(0, 6))):
        data[int(random.integers(min(among or len(data), len(data))))] ^= 1 << int(random.integers(8))
    file.write_bytes(data)


def flip_in_header(folder: Path, random: np.random.Generator) -> None:
    """Flip bits among the first 400 bytes."""
    flip(folder, random, among=400)


def zeros_inside(folder: Path, random: np.random.Generator) -> None:
    """A block of zeros in the middle, as a disk leaves it."""
    file = some_file(folder, random)
    data = bytearray(file.read_bytes())
    start = int(random.integers(len(data)))
    data[start : start + 512] = bytes(len(data[start : start + 512]))
    file.write_bytes(data)


def insert(folder: Path, random: np.random.Generator) -> None:
    """Bytes that do not belong there: everything after them is displaced."""
    file = some_file(folder, random)
    data = file.read_bytes()
    start = int(random.integers(len(data)))
    file.write_bytes(data[:start] + random.bytes(int(random.integers(1, 64))) + data[start:])


def remove_inside(folder: Path, random: np.random.Generator) -> None:
    """A hole: bytes lost on the way."""
    file = some_file(folder, random)
    data = file.read_bytes()
    start = int(random.integers(len(data)))
    file.write_bytes(data[:start] + data[start + int(random.integers(1, 64)) :])


def append(folder: Path, random: np.random.Generator) -> None:
    """Bytes too many at the end."""
    file = some_file(folder, random)
    file.write_bytes(file.read_bytes() + random.bytes(int(random.integers(1, 4096))))


def noise(folder: Path, random: np.random.Generator) -> None:
    """Random bytes under the name of an image."""
    file = some_file(folder, random)
    file.write_bytes(random.bytes(file.stat().st_size))


def wrong_suffix(folder: Path, random: np.random.Generator) -> None:
    """The name of another format."""
    file = some_file(folder, random)
    known = (".nii", ".nii.gz", ".hdr", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm")
    others = [suffix for suffix in known if not file.name.lower().endswith(suffix)]
    file.rename(file.with_name(f"renamed{others[random.integers(len(others))]}"))


def other_format(folder: Path, random: np.random.Generator) -> None:
    """A picture, a text, an archive or a page under the name of an image."""
    heads = (
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"PK\x03\x04",
        b"%PDF-1.7\n",
        b"<!DOCTYPE html>",
        b"\x1f\x8b\x08",
    )
    some_file(folder, random).write_bytes(heads[random.integers(len(heads))] + random.bytes(3000))


def link_to_nowhere(folder: Path, random: np.random.Generator) -> None:
    """A link whose target was not copied."""
    file = some_file(folder, random)
    file.unlink()
    file.symlink_to("/nowhere/scan")


def link_cycle(folder: Path, random: np.random.Generator) -> None:
    """A file that links to itself, and a folder that links to its parent."""
    file = some_file(folder, random)
    file.unlink()
    file.symlink_to(file.name)
    (folder / "again").symlink_to(".", target_is_directory=True)


def pipe(folder: Path, random: np.random.Generator) -> None:
    """A named pipe under the name of an image: who opens it waits for ever."""
    file = some_file(folder, random)
    file.unlink()
    os.mkfifo(file)


def unix_socket(folder: Path, random: np.random.Generator) -> None:
    """A socket under the name of an image."""
    file = some_file(folder, random)
    file.unlink()
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket is 108 bytes at most
    try:
        socket.socket(socket.AF_UNIX).bind(file.name)
    finally:
        os.chdir(here)


def folder_instead(folder: Path, random: np.random.Generator) -> None:
    """An empty folder under the name of an image, beside the rest."""
    file = some_file(folder, random)
    file.rename(folder / f"whole_{file.name}")
    file.mkdir()


def unreadable(folder: Path, random: np.random.Generator) -> None:
    """No permission to read."""
    file = some_file(folder, random)
    file.chmod(0)
    if os.access(file, os.R_OK):
        raise NotPossible("Permissions do not bind whom this runs as: run it as somebody else.")


def name_not_utf8(folder: Path, random: np.random.Generator) -> None:
    """A name in another encoding, as old archives have them."""
    file = some_file(folder, random)
    os.rename(os.fsencode(file), os.path.join(os.fsencode(folder), b"sch\xe4del " + os.fsencode(file.name)))


def name_very_long(folder: Path, random: np.random.Generator) -> None:
    """A name of 255 bytes."""
    file = some_file(folder, random)
    os.rename(file, folder / ("x" * (255 - len(file.name)) + file.name))


def name_with_signs(folder: Path, random: np.random.Generator) -> None:
    """Line ends, quotes, commas, semicolons and an emoji in a name."""
    file = some_file(folder, random)
    os.rename(file, folder / f"a\n,\"';=%s 🧠{file.name}")


FILE_DAMAGE: dict[str, Damage] = {
    "truncated": truncate,
    "truncated, every file": truncate_all,
    "zero bytes": empty,
    "zero bytes, every file": empty_all,
    "bits flipped": flip,
    "bits flipped in the header": flip_in_header,
    "a block of zeros": zeros_inside,
    "bytes inserted": insert,
    "bytes lost": remove_inside,
    "bytes appended": append,
    "random bytes": noise,
    "wrong suffix": wrong_suffix,
    "another format inside": other_format,
    "link to nowhere": link_to_nowhere,
    "links in a circle": link_cycle,
    "named pipe": pipe,
    "socket": unix_socket,
    "folder in its place": folder_instead,
    "no permission": unreadable,
    "name not in UTF-8": name_not_utf8,
    "name of 255 bytes": name_very_long,
    "name with signs": name_with_signs,
}

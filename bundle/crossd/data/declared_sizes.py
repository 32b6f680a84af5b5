"""What a file declares, held against what it can hold, before anything of that size is made in memory."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from math import prod

from crossd.errors import CrossDError

# 1024³: twice the largest whole-body CT. As float32 it takes 4 GiB, and reading and resampling take a few times that.
MAX_VOXELS = int(os.environ.get("CROSSD_MAX_VOXELS", 2**30))
DEFLATE_AT_MOST = 1032  # bytes that one byte of a deflated stream can stand for (zlib's technical notes)
TAIL = 2**24  # bytes after the voxels that are put up with: padding, not a second file
_CHUNK = 2**20


def check_voxels(name: str, shape: Sequence[float], what: str = "declares") -> None:
    """Refuse a volume that is larger than any memory this is meant for: of more than `MAX_VOXELS` voxels.

    `what` it does with that size is the verb of the message.

    >>> check_voxels("a.nii", (30000, 30000, 30000))
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: A volume must fit into memory: 'a.nii' declares 30000 × 30000 × 30000 voxels, where ...
    """
    if not prod(float(size) for size in shape) <= MAX_VOXELS:
        raise CrossDError(
            f"A volume must fit into memory: '{name}' {what} {' × '.join(f'{size:.0f}' for size in shape)} voxels, "
            f"where {MAX_VOXELS} in all are the limit. Its header is damaged, or it must be cropped or resampled "
            "first; on a machine with enough memory set the environment variable CROSSD_MAX_VOXELS."
        )


def check_declared(path: str, files: Sequence[str], needed: int, ratio: float = 1) -> None:
    """Refuse a header that declares more than its files can hold.

    Args:
        path: of the header, for the message.
        files: where the voxels are.
        needed: bytes of all voxels, and of what stands before them.
        ratio: bytes that one byte of the files can stand for; 1 where they are not compressed.
    """
    size = sum(os.path.getsize(file) for file in files)
    if size * ratio < needed:
        unpacked = f", which cannot unpack to more than {int(size * ratio)}" if ratio > 1 else ""
        raise damaged(path, f"it declares {needed} bytes and has {size}{unpacked}")


def unpacked_size(path: str, offset: int, limit: int, wbits: int, into: bytearray | None = None) -> tuple[int, bool]:
    """Bytes that a deflated stream unpacks to, counted up to a limit, and whether it came to its end and checksum.

    Args:
        offset: byte of the file where the stream begins.
        limit: bytes after which nobody counts on.
        wbits: what stands around the stream, as `zlib.decompressobj` has it.
        into: takes the first bytes; without it two chunks of 1 MiB are all the memory needed.

    Raises:
        zlib.error: a damaged stream.
    """
    unpacker, count = zlib.decompressobj(wbits=wbits), 0
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(_CHUNK)
        while data and not unpacker.eof and count <= limit:
            piece = unpacker.decompress(data, _CHUNK)
            if into is not None:
                into[count : count + len(piece)] = piece[: max(len(into) - count, 0)]
            count += len(piece)
            data = unpacker.unconsumed_tail or file.read(_CHUNK)
    return count, unpacker.eof


def inflated(path: str, offset: int, needed: int) -> tuple[bytearray, int]:
    """The bytes needed of the zlib or gzip stream at an offset, and how many follow them up to its end and checksum."""
    unpacked = bytearray(needed)
    try:
        count, ended = unpacked_size(path, offset, needed + TAIL, 47, unpacked)  # either header
    except zlib.error as error:
        raise damaged(path, str(error)) from error
    if count > needed + TAIL:
        raise goes_on(path, needed)
    if not ended or count < needed:
        raise damaged(path, f"{count} of {needed} bytes can be unpacked")
    return unpacked, count - needed


def too_many(surplus: int) -> list[str]:
    """What to say of bytes after the voxels of a file, be it unpacked: a size, type or offset that is wrong.

    >>> too_many(0), too_many(8)
    ([], ['The file has 8 bytes more than it declares: its voxels may be displaced.'])
    """
    return [f"The file has {surplus} bytes more than it declares: its voxels may be displaced."] if surplus > 0 else []


def goes_on(path: str, needed: int) -> CrossDError:
    """The error for a compressed file that unpacks to far more than it declares."""
    return CrossDError(
        f"A compressed file must end where its voxels end: '{path}' goes on for more than {TAIL} bytes after the "
        f"{needed} it declares. It is damaged or no image: write it again."
    )


def damaged(path: str, why: str) -> CrossDError:
    """The error for a file that does not hold what it declares."""
    return CrossDError(f"An image file must be whole: '{path}' is truncated or damaged ({why}). Copy it again.")

"""Deflated DICOM files (PS3.5, A.5) that unpack to far more than an image: refused before pydicom does it."""

from __future__ import annotations

import os
import zlib

from crossd.data.dicom.structure import LONG
from crossd.errors import CrossDError

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META = 2**16  # bytes in which the file meta information, and the transfer syntax in it, stands
_CHUNK = 2**20
ANY_SIZE = 2**28  # bytes unpacked that a file of any size may have: 256 MiB, a multi-frame object of 500 slices
RATIO = 200  # and more than this for each packed byte is nothing but zeros


def check_inflated_size(path: str) -> None:
    """Unpack a deflated file piece by piece and stop where it goes too far; other files are left alone.

    Memory: two pieces of 1 MiB.

    Raises:
        CrossDError: a file that unpacks to more than 256 MiB and more than 200 times its size.
    """
    with open(path, "rb") as file:
        head = file.read(_META)
        if _DEFLATED not in head:
            return
        end = _end_of_meta(head)
        if head.find(_DEFLATED) > end:
            return
        limit = max(ANY_SIZE, RATIO * os.path.getsize(path))
        unpacker, count = zlib.decompressobj(wbits=-zlib.MAX_WBITS), 0
        file.seek(end)
        data = file.read(_CHUNK)
        while data and not unpacker.eof and count <= limit:
            try:
                count += len(unpacker.decompress(data, _CHUNK))
            except zlib.error:
                return  # pydicom says what is wrong
            data = unpacker.unconsumed_tail or file.read(_CHUNK)
    if count > limit:
        raise CrossDError(
            f"A deflated DICOM file must unpack to what an image needs: '{path}' has {os.path.getsize(path)} bytes and "
            f"unpacks to more than {limit}. It is damaged or no image: remove it."
        )


def _end_of_meta(head: bytes) -> int:
    """Where the elements of group 2 end, by their own lengths, as readers find it, whatever (0002,0000) says."""
    at = 132 if head[128:132] == b"DICM" else 0
    while head[at : at + 2] == b"\x02\x00":
        long = head[at + 4 : at + 6] in LONG
        length = head[at + 8 : at + 12] if long else head[at + 6 : at + 8]
        at += (12 if long else 8) + int.from_bytes(length, "little")
    return at

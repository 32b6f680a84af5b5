"""Deflated DICOM files (PS3.5, A.5) that unpack to far more than an image: refused before pydicom does it."""

from __future__ import annotations

import os
import zlib

from crossd.errors import CrossDError

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META = 4096  # bytes in which the file meta information, and the transfer syntax in it, stands
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
        start = head.find(b"\x02\x00\x00\x00UL")  # FileMetaInformationGroupLength (0002,0000): where the rest begins
        if _DEFLATED not in head or start < 0:
            return
        end = start + 12 + int.from_bytes(head[start + 8 : start + 12], "little")
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

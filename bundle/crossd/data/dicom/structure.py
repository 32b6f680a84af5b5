"""Whether the elements of a DICOM file end where it ends, before anyone makes room for what they declare.

GDCM fills as many bytes as an element says it has, up to 4 GiB, and finds out afterwards that the file is shorter.
pydicom unpacks a deflated file whole, however much comes out of it.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Sequence
from typing import Any

from crossd.data.declared_sizes import unpacked_size
from crossd.data.dicom.values import syntax_of
from crossd.errors import CrossDError

_PIXEL_DATA = b"\xe0\x7f\x10\x00"  # (7FE0,0010)
_OTHER_PIXELS = (b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00")  # float and double
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")  # PS3.5, 7.1.2
_ITEM, _END = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"  # (FFFE,E000), (FFFE,E0DD); PS3.5, A.4
_UNDEFINED = 0xFFFFFFFF
_DEFLATED = b"1.2.840.10008.1.2.1.99"  # PS3.5, A.5
_RLE = "1.2.840.10008.1.2.5"
_STREAMS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP")  # that begin: JPEG and JPEG-LS, JPEG 2000, JP2
_WRONG = "Rows, Columns, BitsAllocated or NumberOfFrames may be wrong"
_META = 2**16  # bytes in which the file meta information, and the transfer syntax in it, stands
ANY_SIZE = 2**28  # bytes unpacked that a file of any size may have: 256 MiB, a multi-frame object of 500 slices
RATIO = 200  # and more than this for each packed byte is nothing but zeros


class BoundedReader(io.BufferedReader):
    """A file of which no more is read, and no more room made, than there is.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file, BoundedReader(file.name) as bounded:
    ...     bounded.read(2**40)
    b''
    """

    def __init__(self, path: str) -> None:
        super().__init__(io.FileIO(path))
        self.length = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """At most so many bytes."""
        if size is not None and size > io.DEFAULT_BUFFER_SIZE:
            size = max(min(size, self.length - self.tell()), 0)
        return super().read(size)


def check_structure(path: str, file: BoundedReader, dataset: Any, needs_pixels: bool = True) -> list[str] | None:
    """Follow a little-endian file from its pixels on to its end, by its lengths alone.

    Args:
        path: for messages.
        file: where `pydicom.dcmread(…, stop_before_pixels=True)` left it.
        dataset: what that read.
        needs_pixels: whether it is an error that there are none.

    Returns:
        What is to be told of pixels or frames beyond those that the header declares; None where there are no pixels.

    Raises:
        CrossDError: an element that is longer than what is left of the file, fewer pixels or frames than declared, or
            bytes after the pixels that are no elements.
    """
    syntax, start = syntax_of(dataset), file.tell()
    if syntax is not None and (not syntax.is_transfer_syntax or syntax.is_deflated):
        return []
    if syntax is not None and not syntax.is_little_endian:
        _check_length(path, dataset, file.length - start)
        return []
    head = file.read(12)
    if start > file.length:
        raise _too_long(path, start - file.length)
    if head[:4] in _OTHER_PIXELS or (syntax is None and not dataset.original_encoding[1]):  # or big-endian
        return []
    if head[:4] != _PIXEL_DATA and not needs_pixels:
        return None
    if head[:4] != _PIXEL_DATA:
        raise CrossDError(
            f"A DICOM image must hold its pixels after its header: '{path}' holds none there. It is cut short or "
            "damaged: copy it again."
        )
    explicit = head[4:6] in (b"OW", b"OB", b"UN")
    length = int.from_bytes(head[8:12] if explicit else head[4:8], "little")
    end = start + (12 if explicit else 8)
    told: list[str] = []
    if length != _UNDEFINED:
        end += length
        if syntax is None or not syntax.is_encapsulated:
            told = _check_length(path, dataset, length)
    begin = []  # the first bytes of each fragment, that of the offset table first (PS3.5, A.4)
    while length == _UNDEFINED:
        file.seek(end)
        item = file.read(8)
        size = int.from_bytes(item[4:], "little")
        end += 8 + (size if item[:4] == _ITEM else 0)
        if item[:4] == _END:
            break
        if item[:4] != _ITEM or end > file.length:
            raise _too_long(path, max(end - file.length, 1))
        begin.append(file.read(6)[:size])
    if end > file.length:
        raise _too_long(path, end - file.length)
    _check_trailing(path, file, end, not dataset.original_encoding[0])
    return told + (_check_frames(path, dataset, begin[1:], str(syntax) == _RLE) if begin else [])


def _check_length(path: str, dataset: Any, length: int) -> list[str]:
    """Refuse fewer pixels than the matrix has, and say where there are more, as with a wrong matrix."""
    frames = max(int(dataset.get("NumberOfFrames") or 1), 1)
    pixels = int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0) * frames
    needed = -(-pixels * int(dataset.get("BitsAllocated") or 8) // 8)
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        return []
    if length < needed:
        raise CrossDError(
            f"A DICOM file must hold the pixels it declares: PixelData (7FE0,0010) of '{path}' has {length} bytes "
            f"where its {frames} × {dataset.get('Rows')} × {dataset.get('Columns')} pixels need {needed}. It is "
            "cut short: copy it again."
        )
    surplus = length - needed - needed % 2  # padded to an even length
    return [f"PixelData (7FE0,0010) has {surplus} bytes more than its matrix needs: {_WRONG}."] if surplus > 0 else []


def _check_frames(path: str, dataset: Any, begin: Sequence[bytes], rle: bool) -> list[str]:
    """Hold the compressed frames that are there against NumberOfFrames (0028,0008)."""
    declared = max(int(dataset.get("NumberOfFrames") or 1), 1)
    frames = len(begin) if rle else sum(first.startswith(_STREAMS) for first in begin)
    if not frames and begin:  # no stream that is known here
        return []
    if frames < declared:
        raise CrossDError(
            f"A DICOM file must hold the frames it declares: '{path}' has {frames} of {declared}. It is cut short: "
            "copy it again."
        )
    return [f"PixelData (7FE0,0010) has {frames} frames, and {declared} are declared: {_WRONG}."] * (frames > declared)


def _check_trailing(path: str, file: BoundedReader, start: int, explicit: bool) -> None:
    """Elements after the pixels, or zeros: rare, and few."""
    while start < file.length:
        file.seek(start)
        head = file.read(12)
        if not head.strip(b"\0") and not file.read(file.length).strip(b"\0"):
            return
        tag = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
        if len(head) < 8 or tag <= (0x7FE0, 0x0010) or (explicit and not head[4:6].isalpha()):
            raise CrossDError(
                f"A DICOM file must end after its last element: '{path}' has {file.length - start} bytes more, which "
                "are none. Copy the file again."
            )
        long = explicit and head[4:6] in LONG
        size = head[8:12] if long else head[6:8] if explicit else head[4:8]
        length = int.from_bytes(size, "little")
        if length == _UNDEFINED:  # a sequence, of which each item says its own length
            return
        start += (12 if long else 8) + length
    if start > file.length:
        raise _too_long(path, start - file.length)


def _too_long(path: str, beyond: int) -> CrossDError:
    return CrossDError(
        f"The elements of a DICOM file must end where it ends: those of '{path}' reach {beyond} bytes beyond. It is "
        "cut short or damaged: copy it again."
    )


def has_preamble(path: str) -> bool:
    """Whether `DICM` stands after the 128 bytes that open a DICOM file (PS3.10, 7.1)."""
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def first_elements(path: str) -> bool:
    """Whether a file begins with elements of DICOM, as data sets do that were stored without a preamble.

    In either byte order: file meta information (group 2) or the identification of an image (group 8), whose first
    elements have small numbers, with a VR that there is or a length that a first element may have.
    """
    with open(path, "rb") as file:
        head = file.read(8)
    for order in ("little", "big"):
        group, element = (int.from_bytes(head[at : at + 2], order) for at in (0, 2))  # type: ignore[arg-type]
        if group in (2, 8) and element <= 0x18:
            length = int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
            return head[4:6] in (b"UL", b"CS", b"OB", b"UI", b"DA", b"TM", b"LO", b"SH") or (
                order == "little" and length <= 128 and length % 2 == 0
            )
    return False


def check_inflated_size(path: str) -> None:
    """Unpack a deflated file piece by piece and stop where it goes too far; other files are left alone."""
    with open(path, "rb") as file:
        head = file.read(_META)
    if _DEFLATED not in head or head.find(_DEFLATED) > (end := end_of_meta(head)):
        return
    limit = max(ANY_SIZE, RATIO * os.path.getsize(path))
    try:
        count, _ = unpacked_size(path, end, limit, wbits=-zlib.MAX_WBITS)
    except zlib.error:
        return  # pydicom says what is wrong
    if count > limit:
        raise CrossDError(
            f"A deflated DICOM file must unpack to what an image needs: '{path}' has {os.path.getsize(path)} bytes and "
            f"unpacks to more than {limit}. It is damaged or no image: remove it."
        )


def end_of_meta(head: bytes) -> int:
    """Where the elements of group 2 end, by their own lengths, as readers find it, whatever (0002,0000) says."""
    at = 132 if head[128:132] == b"DICM" else 0
    while head[at : at + 2] == b"\x02\x00":
        long = head[at + 4 : at + 6] in LONG
        length = head[at + 8 : at + 12] if long else head[at + 6 : at + 8]
        at += (12 if long else 8) + int.from_bytes(length, "little")
    return at

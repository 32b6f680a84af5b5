"""The stored values of a DICOM file's frames: decoded, cut to the bits that are stored, held against their stream."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from crossd.data.dicom.values import state_encoding
from crossd.errors import CrossDError

_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)  # PS3.5, 7.6
_POSITION = 0x0102  # OverlayBitPosition (60xx,0102): 0 where the overlay has data of its own
# JPEG's frame headers, baseline to lossless, and that of JPEG-LS; the others of FFC0 to FFCF are tables.
_FRAME_HEADERS = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)


def stored_frames(
    dataset: Any, frames: Sequence[int], decoded: Sequence[np.ndarray] | None = None
) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Stored values of frames as BitsStored (0028,0101) and PixelRepresentation (0028,0103) have them.

    Bits beyond are cut off, compressed or not, as those of overlays have to be (PS3.5, 8.1.2).

    Args:
        dataset: a file, pixels included.
        frames: their numbers, from 0.
        decoded: what `decoded` made of them, where they are compressed.

    Yields:
        Integers `(row, column)`, and what is to be told of them.

    Raises:
        ValueError: a stream of another size than the header's; pydicom raises what it raises for other damage.
    """
    from pydicom.encaps import generate_frames
    from pydicom.pixels import iter_pixels

    size = (int(dataset.Rows), int(dataset.Columns))
    stored = int(dataset.get("BitsStored") or dataset.BitsAllocated)
    streams: dict[int, bytes] = {}
    if decoded is not None and dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        every = enumerate(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames") or 1)))
        streams = {index: bytes(data[:4096]) for index, data in every if index in frames}
    planes = iter_pixels(dataset, indices=list(frames), correct_unused_bits=False) if decoded is None else decoded
    for frame, plane in zip(frames, planes, strict=True):
        facts = stream_facts(streams.get(frame, b""))
        if facts is not None and facts[:2] != size:
            raise ValueError(f"the compressed image has {facts[0]} × {facts[1]} pixels, and the header {size}")
        bits = stored if facts is None or dataset.get("PixelRepresentation") != 1 else min(facts[2], stored)
        cut, told = _stored_bits(dataset, plane.reshape(size), bits)
        if bits < stored and cut.min() < 0:
            told.append(
                f"The compressed image has {bits} bits a pixel, the last one of which is taken for the sign, where "
                f"BitsStored (0028,0101) is {stored}"
            )
        yield cut, told


def decoded(frames: Sequence[tuple[str, int]], allocate: Callable[..., np.ndarray]) -> np.ndarray:
    """Stored values of frames, bits beyond BitsStored included: by pydicom's codecs, else by ITK's.

    To be called by `crossd.data.decoder`, since codecs are native code.

    Args:
        frames: path and number of each, those of a file one after another.

    Returns:
        int32 `(frame, row, column)`; unsigned ones of 32 bits have the same bits.
    """
    import pydicom
    from pydicom.pixels import iter_pixels

    out: np.ndarray | None = None
    done = 0
    for path, group in groupby(frames, key=lambda item: item[0]):
        wanted = [int(frame) for _, frame in group]
        try:
            dataset = pydicom.dcmread(path, force=True)
            state_encoding(dataset)
            try:
                planes = list(iter_pixels(dataset, indices=wanted, correct_unused_bits=False))
            except Exception:
                by_itk = [_by_itk(dataset, frame) for frame in wanted]
                planes = [plane for plane in by_itk if plane is not None]
                if len(planes) < len(by_itk):
                    raise
            if out is None:
                out = allocate((len(frames), int(dataset.Rows), int(dataset.Columns)), np.int32)
            for plane in planes:
                out[done] = plane.reshape(out.shape[1:])
                done += 1
        except Exception as error:  # each decoder has exceptions of its own
            raise undecodable(path, error) from error
    return np.empty((0, 0, 0), np.int32) if out is None else out


def undecodable(path: str, error: Exception) -> CrossDError:
    """The error for pixels that do not decode."""
    return CrossDError(
        f"DICOM pixels must decode: those of '{path}' do not ({' '.join(str(error).split())}). "
        'Copy the file again; for a codec that is missing, `pip install "crossd[codecs]"`.'
    )


def _stored_bits(dataset: Any, plane: np.ndarray, stored: int) -> tuple[np.ndarray, list[str]]:
    """Values without the bits that are not stored, and what to say of these where no overlay is declared in them."""
    if plane.dtype.kind == "f":  # float pixels
        return plane, []
    width = 8 * plane.dtype.itemsize
    unsigned, signed = (np.dtype(f"{plane.dtype.byteorder}{kind}{plane.dtype.itemsize}") for kind in "ui")
    whole = plane.view(unsigned)
    cut = whole & ((1 << min(stored, width)) - 1)
    beyond = cut != whole
    if dataset.get("PixelRepresentation") == 1:
        cut = (cut << max(width - stored, 0)).astype(unsigned, copy=False).view(signed) >> max(width - stored, 0)
        beyond &= cut != plane.view(signed)  # the sign may be repeated up to the last bit
    overlays = any(dataset.get((group, _POSITION)) and dataset[group, _POSITION].value for group in _OVERLAY_GROUPS)
    if overlays or not beyond.any():
        return cut, []
    return cut, [f"Pixels have bits beyond BitsStored (0028,0101), which is {stored}, and no overlay is declared there"]


def stream_facts(stream: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and bits of a JPEG, JPEG-LS or JPEG 2000 image, as its own header has them; None for others.

    Sources: ITU-T T.81, B.2.2; ITU-T T.87, C.2.2; ITU-T T.800, A.5.1.

    >>> stream_facts(b"\\xff\\xd8\\xff\\xc3\\0\\x0b\\x0c\\0\\x18\\0\\x20\\1\\1\\x11\\0")
    (24, 32, 12)
    """
    if stream[:4] == b"\xff\x4f\xff\x51" and len(stream) > 42:
        columns, rows, left, top = (int.from_bytes(stream[at : at + 4], "big") for at in (8, 12, 16, 20))
        return rows - top, columns - left, (stream[42] & 127) + 1
    at = 2
    while stream[:2] == b"\xff\xd8" and at + 9 < len(stream) and stream[at] == 0xFF:
        if stream[at + 1] in _FRAME_HEADERS:
            rows, columns = (int.from_bytes(stream[at + k : at + k + 2], "big") for k in (5, 7))
            return rows, columns, stream[at + 4]
        at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    return None


def _by_itk(dataset: Any, frame: int) -> np.ndarray | None:
    """One compressed frame by ITK, which has further codecs, of JPEG; None where it does not decode it.

    ITK would apply a rescale and cut bits off: it sees a copy without anything but the pixels.
    """
    import itk
    import pydicom
    from pydicom.encaps import encapsulate, get_frame

    bare = pydicom.Dataset()
    bare.file_meta = dataset.file_meta
    for name in ("SOPClassUID", "SOPInstanceUID", "Rows", "Columns", "BitsAllocated"):
        setattr(bare, name, dataset.get(name))
    bare.SamplesPerPixel, bare.PhotometricInterpretation, bare.PixelRepresentation = 1, "MONOCHROME2", 0
    bare.BitsStored, bare.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
    data = get_frame(dataset.PixelData, frame, number_of_frames=int(dataset.get("NumberOfFrames") or 1))
    bare.PixelData = encapsulate([data])
    bare["PixelData"].VR = "OB"
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "a.dcm")
        bare.save_as(copy, enforce_file_format=True)
        try:
            image = itk.imread(copy, pixel_type=itk.D, imageio=itk.GDCMImageIO.New())
        except RuntimeError:
            return None
    return np.asarray(itk.array_from_image(image)).astype(np.int64).astype(np.int32)

"""Whether a DICOM header agrees with itself: bits that fit one another, and what it states for all and per frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossd.data.dicom.values import as_numbers, attribute, private
from crossd.errors import CrossDError

_GREY = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
# What a multi-frame object may state per frame or once for all, and never both (PS3.3, C.7.6.16.1).
_EITHER = (
    ("PlaneOrientationSequence", "ImageOrientationPatient"),
    ("PlanePositionSequence", "ImagePositionPatient"),
    ("PixelMeasuresSequence", "PixelSpacing"),
    ("PixelValueTransformationSequence", "RescaleSlope"),
    ("PixelValueTransformationSequence", "RescaleIntercept"),
)


def check_bits(path: str, dataset: Any) -> None:
    """Refuse pixels of which nobody can say where their bits are.

    Source: BitsAllocated (0028,0100), BitsStored (0028,0101), HighBit (0028,0102), PixelRepresentation (0028,0103);
    PS3.5, 8.1.1.

    Raises:
        CrossDError: more bits stored than allocated, a high bit that is not the last one stored, a sign that is none.

    >>> from pydicom.dataset import Dataset
    >>> dataset = Dataset()
    >>> dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 8, 15
    >>> check_bits("a.dcm", dataset)
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: The bits of a pixel must fit one another: 'a.dcm' has BitsAllocated 16, BitsStored 8, ...
    """
    allocated = dataset.get("BitsAllocated", 16)
    stored = dataset.get("BitsStored", allocated)
    high = dataset.get("HighBit", stored - 1 if isinstance(stored, int) else None)
    sign = dataset.get("PixelRepresentation", 0)
    fits = all(isinstance(value, int) for value in (allocated, stored, high, sign))
    if not fits or allocated not in (1, 8, 16, 32, 64) or not 0 < stored <= allocated or high != stored - 1:
        raise CrossDError(
            f"The bits of a pixel must fit one another: '{path}' has BitsAllocated {allocated}, BitsStored {stored}, "
            f"HighBit {high}. HighBit is one less than BitsStored: correct the header, or copy the file again."
        )
    if sign not in (0, 1):
        raise CrossDError(
            f"PixelRepresentation (0028,0103) is 0 or 1: '{path}' has {sign}. Correct the header, or copy the file "
            "again."
        )


def disagreements(dataset: Any, groups: Sequence[Any]) -> list[str]:
    """What a header says twice and differently of one frame (`groups`: its own, then shared), and which is used."""
    told = []
    for sequence, name in _EITHER if groups else ():
        places = [*((None, [group]) for group in groups), (dataset, [])]
        values = [attribute(source, inner, sequence, name) for source, inner in places]
        said = {as_numbers(value) for value in values if value not in (None, "")}
        if len(said) > 1:
            told.append(
                f"{name} is stated twice and differs (per frame, shared by all frames, or for the whole object): the "
                "most particular one is used."
            )
    if not dataset.get("SeriesInstanceUID"):
        told.append("SeriesInstanceUID (0020,000E) is missing: all slices of a patient without it are one series.")
    photometric = str(dataset.get("PhotometricInterpretation") or "")
    if photometric not in _GREY:
        told.append(
            f"PhotometricInterpretation (0028,0004) is '{photometric}', with one value a pixel: read as grey levels."
        )
    sequence, mode = (private(dataset, 0x0019, "GEMS_ACQU_01", element) for element in (0x9C, 0xB3))
    if "epi_pepolar" in str(sequence) and mode not in (None, "", 0):
        told.append(
            "GE's sequence epi_pepolar stores rows of reversed polarity in reversed order, and no attribute of the "
            "standard says so: such a volume is upside down."
        )
    return told

"""From the values that a DICOM file stores to those that its modality means: rescale, padding, and what is unknown."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from crossd.data.volume import check_scale
from crossd.errors import CrossDError

# JPEG baseline and extended, JPEG-LS near-lossless, JPEG 2000, HTJ2K where it need not be lossless (PS3.5, A.4).
_LOSSY = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81, 91, 93, 203)}
_TRANSFORMATION = "PixelValueTransformationSequence"
_RESCALE = {"RescaleSlope": ("RescaleSlope (0028,1053)", 1), "RescaleIntercept": ("RescaleIntercept (0028,1052)", 0)}


def syntax_of(dataset: Any) -> Any:
    """The TransferSyntaxUID (0002,0010); None in a file without meta information."""
    return dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None


def private(dataset: Any, group: int, maker: str, element: int) -> Any:
    """The value of a private element of one maker (PS3.5, 7.8.1); None where there is none."""
    block = 0x10
    while (creator := dataset.get(group << 16 | block)) is not None:
        if creator.value == maker:
            item = dataset.get(group << 16 | block << 8 | element)
            return None if item is None else item.value
        block += 1
    return None


def image_type(dataset: Any) -> list[str]:
    """The values of ImageType (0008,0008), in upper case."""
    return [str(part).upper() for part in dataset.get("ImageType") or []]


def attribute(dataset: Any, groups: Sequence[Any], sequence: str, name: str) -> Any:
    """An attribute from the first functional group that has it, else from the dataset itself."""
    for group in groups:
        items = group.get(sequence)
        if items and items[0].get(name) not in (None, ""):
            return items[0].get(name)
    return None if dataset is None else dataset.get(name)


def is_rescaled(dataset: Any, groups: Sequence[Any]) -> bool:
    """Whether the values are a quantity, as Hounsfield units are; MONOCHROME1 then changes only how they are shown.

    Source: PS3.3, C.7.6.3.1.2; a rescale (0028,1053), (0028,1052) or look-up table (0028,3000) is what makes them one.
    """
    stated = [attribute(dataset, groups, _TRANSFORMATION, name) for name in _RESCALE]
    return any(value not in (None, "") for value in stated) or bool(dataset.get("ModalityLUTSequence"))


def rescale(path: str, dataset: Any, groups: Sequence[Any]) -> tuple[float, float, list[str]]:
    """Slope and intercept of a frame, and what to tell of them: every reader's, whatever is stated.

    Source: PS3.3, C.11.1.1.2: each needs the other; the one that is missing is 1 or 0, which changes nothing. A slope
    of 0, which would leave one value, counts as 1, as in GDCM and dcm2niix.

    Raises:
        CrossDError: anything but one number for either, or numbers that leave no grey levels.

    >>> from pydicom.dataset import Dataset
    >>> dataset = Dataset()
    >>> dataset.RescaleIntercept = -1024
    >>> rescale("a.dcm", dataset, [])
    (1.0, -1024.0, ['RescaleIntercept (0028,1052) is stated without RescaleSlope (0028,1053), which counts as 1.'])
    """
    stated = {name: attribute(dataset, groups, _TRANSFORMATION, name) for name in _RESCALE}
    numbers = {
        name: finite(path, _RESCALE[name][0], value, 1)[0]
        for name, value in stated.items()
        if value is not None and value != ""
    }
    told = []
    if len(numbers) == 1:
        (there,), (missing,) = numbers, _RESCALE.keys() - numbers.keys()
        told.append(
            f"{_RESCALE[there][0]} is stated without {_RESCALE[missing][0]}, which counts as {_RESCALE[missing][1]}."
        )
    if numbers.get("RescaleSlope") == 0:
        numbers["RescaleSlope"] = 1.0
        told.append("RescaleSlope (0028,1053) is 0, which would leave one value: it counts as 1.")
    if numbers and dataset.get("ModalityLUTSequence"):
        told.append("A rescale and a look-up table (0028,3000) are stated: the table is used.")
    slope, intercept = (float(numbers.get(name, _RESCALE[name][1])) for name in _RESCALE)
    check_scale(path, slope, intercept)
    return slope, intercept, told


def as_numbers(values: Any) -> tuple[float, ...]:
    """One value of a header, or several."""
    return tuple(float(value) for value in ([values] if isinstance(values, (str, int, float, Decimal)) else values))


def finite(path: str, name: str, values: Any, count: int, positive: bool = False) -> tuple[float, ...]:
    """Numbers of a header, as many as there must be.

    >>> finite("a.dcm", "PixelSpacing (0028,0030)", "0.5", 2)
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: PixelSpacing (0028,0030) must hold 2 numbers, got [0.5] in 'a.dcm'. Correct the ...
    """
    numbers = as_numbers(values)
    if len(numbers) != count or not np.isfinite(numbers).all() or (positive and min(numbers) <= 0):
        raise CrossDError(
            f"{name} must hold {count} {'positive ' * positive}numbers, got {list(numbers)} in '{path}'. Correct the "
            "header, or copy the file again."
        )
    return numbers


def white(dataset: Any) -> int:
    """Smallest and largest stored value, added: what inverts grey values within BitsStored (0028,0101)."""
    bits = int(dataset.get("BitsStored") or dataset.get("BitsAllocated") or 16)
    return -1 if dataset.get("PixelRepresentation") else (1 << bits) - 1


def inverted_range(dataset: Any, padding: tuple[float, float] | None) -> tuple[float, float] | None:
    """Where a range of stored values lies once grey values are inverted."""
    return None if padding is None else (white(dataset) - padding[1], white(dataset) - padding[0])


def padding_range(dataset: Any, groups: Sequence[Any]) -> tuple[float, float] | None:
    """Smallest and largest value of pixel padding, in the units of the modality.

    Source: PixelPaddingValue (0028,0120) and PixelPaddingRangeLimit (0028,0121), which are stored values (PS3.3,
    C.7.5.1.1.2). None where there is none, or where a look-up table maps the values.

    >>> from pydicom.dataset import Dataset
    >>> dataset = Dataset()
    >>> dataset.BitsAllocated, dataset.PixelRepresentation, dataset.RescaleIntercept = 16, 1, -24
    >>> dataset.PixelPaddingValue = 63536  # −2000 as some scanners write it, without its sign
    >>> padding_range(dataset, [])
    (-2024.0, -2024.0)
    """
    stored = [dataset.get(name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    values = [value for value in stored if isinstance(value, int)]
    mapped = dataset.get("ModalityLUTSequence") or dataset.get("PhotometricInterpretation") == "PALETTE COLOR"
    if not isinstance(stored[0], int) or mapped:
        return None
    half = 1 << (int(dataset.get("BitsAllocated") or 16) - 1)
    if dataset.get("PixelRepresentation"):
        values = [value - 2 * half if value >= half else value for value in values]
    slope, intercept, _ = rescale("", dataset, groups)
    scaled = [value * slope + intercept for value in values]
    return min(scaled), max(scaled)


def is_lossy(dataset: Any) -> bool:
    """Whether compression changed the values: by LossyImageCompression (0028,2110), or the encoding."""
    return str(dataset.get("LossyImageCompression") or "") == "01" or str(syntax_of(dataset)) in _LOSSY


def is_encoded(dataset: Any) -> bool:
    """Whether a codec has to decode its pixels; a file without meta information is plain."""
    syntax = syntax_of(dataset)
    return syntax is not None and bool(syntax.is_transfer_syntax) and bool(syntax.is_encapsulated)


def state_encoding(dataset: Any) -> None:
    """Write down the encoding of a file without meta information, as pydicom found it, which decoding asks for."""
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else plain


def without_padding(
    voxels: np.ndarray, ranges: Sequence[tuple[float, float] | None], lossy: bool = False
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Replace padding, which lies outside of what was scanned, by the smallest value that was, and say so.

    Args:
        voxels: `(column, row, slice)`.
        ranges: of padding per slice, as `padding_range` has them; none at all where the series has no padding.
        lossy: whether compression changed the values, and padding with them; see `_smear`.

    >>> without_padding(np.array([[[-2000.0, 5.0, 7.0, 9.0]]]), [(-2000.0, -2000.0)] * 4)[0].tolist()
    [[[5.0, 5.0, 7.0, 9.0]]]
    """
    if not ranges:
        return voxels, ()
    low, high = np.array([(np.nan, np.nan) if item is None else item for item in ranges], dtype=np.float32).T
    slack = np.float32(1e-6) * np.maximum(np.abs(low), np.abs(high)) + np.float32(1e-6)  # of slope × value in float32
    slack += np.float32(_smear(voxels, float(np.nanmin(low)), float(np.nanmax(high))) if lossy else 0)
    padded = (voxels >= low - slack) & (voxels <= high + slack)
    count = int(padded.sum())
    if not count or count == voxels.size:
        return voxels, ()
    # ringing beside padding leaves values below those that were scanned
    background = np.percentile(voxels[~padded], 1) if lossy else voxels.min(where=~padded, initial=np.inf)
    replaced = np.where(padded, background, voxels).astype(np.float32, copy=False)
    found = f"{np.nanmin(low):g}" if np.nanmin(low) == np.nanmax(high) else f"{np.nanmin(low):g} to {np.nanmax(high):g}"
    return replaced, (
        f"{count / voxels.size:.1%} of the voxels are padding (PixelPaddingValue {found}), outside of what was "
        f"scanned: they are set to the smallest value inside, {background:g}.",
    )


def _smear(voxels: np.ndarray, low: float, high: float) -> float:
    """How far from padding its values may lie after lossy compression: nearer to it than to what was scanned.

    By how much values changed shows on the far side of padding, where nothing was scanned. Where nothing shows, as at
    the smallest value that can be stored, a hundredth of the range bounds it; padding amid the scanned values has none.
    """
    below, above = low - float(voxels.min()), float(voxels.max()) - high
    near, far = max(below, above), max(min(below, above), 0.0)
    if far > near / 4:
        return 0.0
    distances = voxels - np.float32(high) if above >= below else np.float32(low) - voxels
    beyond = distances[distances > far]
    half = float(np.percentile(beyond, 5)) / 2 if beyond.size else 0.0
    return half if far else min(half, near / 100)

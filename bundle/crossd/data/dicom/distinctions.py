"""What a header says that may tell a slice from another one at its place: echo, b-value, direction, time …"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossd.data.dicom.values import attribute, private

# What may tell apart slices that lie at one position of one series, the most telling first.
TRAITS = (
    "EchoTime",
    "EchoNumbers",
    "DiffusionBValue",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "TriggerTime",
    "NominalPercentageOfCardiacPhase",
    "NominalPercentageOfRespiratoryPhase",
    "AcquisitionNumber",
    "ImageType",
    "ComplexImageComponent",
    "SeriesNumber",
    "SequenceName",
    "InversionTime",
    "FlipAngle",
    "RepetitionTime",
    "ConvolutionKernel",
    "KVP",
    "SliceThickness",
    "ReceiveCoilName",
    "DiffusionGradientOrientation",
    "FrameReferenceTime",
    "AcquisitionTime",
    "ContentTime",
)
# The same inside the functional groups of a multi-frame object: (sequence, attribute).
_OF_FRAMES = (
    ("MREchoSequence", "EffectiveEchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue"),
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("TemporalPositionSequence", "TemporalPositionTimeOffset"),
    ("FrameContentSequence", "StackID"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
    ("RespiratorySynchronizationSequence", "NominalPercentageOfRespiratoryPhase"),
    ("FrameContentSequence", "FrameAcquisitionNumber"),
    ("MRImageFrameTypeSequence", "FrameType"),
    ("MRImageFrameTypeSequence", "ComplexImageComponent"),
    ("CTImageFrameTypeSequence", "FrameType"),
    ("PETFrameTypeSequence", "FrameType"),
    ("MRModifierSequence", "InversionTimes"),
    ("MRTimingAndRelatedParametersSequence", "FlipAngle"),
    ("MRTimingAndRelatedParametersSequence", "RepetitionTime"),
    ("MRArterialSpinLabelingSequence", "ASLContext"),
    ("MRVelocityEncodingSequence", "VelocityEncodingDirection"),
    ("MRReceiveCoilSequence", "ReceiveCoilName"),
    ("CTReconstructionSequence", "ConvolutionKernel"),
    ("CTXRayDetailsSequence", "KVP"),
    ("PixelMeasuresSequence", "SliceThickness"),
    ("FrameContentSequence", "FrameReferenceDateTime"),
    ("FrameContentSequence", "FrameAcquisitionDateTime"),
)
# Where makers put it: group, element in the maker's block, maker, and the attribute of the standard that it is.
_OF_MAKERS = (
    (0x0019, 0x0C, "SIEMENS MR HEADER", "DiffusionBValue"),
    (0x0019, 0x0E, "SIEMENS MR HEADER", "DiffusionGradientOrientation"),
    (0x0043, 0x39, "GEMS_PARM_01", "DiffusionBValue"),
    (0x0043, 0x2F, "GEMS_PARM_01", "ComplexImageComponent"),  # 0 magnitude, 1 phase, 2 real, 3 imaginary
    (0x2001, 0x03, "Philips Imaging DD 001", "DiffusionBValue"),
    (0x2001, 0x08, "Philips Imaging DD 001", "PhaseNumber"),
    (0x0065, 0x09, "Image Private Header", "DiffusionBValue"),
    (0x0065, 0x37, "Image Private Header", "DiffusionGradientOrientation"),
)


def traits_of(dataset: Any, groups: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    """Name and value of everything that a slice says and another one may say differently.

    `groups` are the functional groups (PS3.3, C.7.6.16) of the frame, its own before those that are shared.

    >>> from pydicom.dataset import Dataset
    >>> dataset = Dataset()
    >>> dataset.EchoTime, dataset.ConvolutionKernel = 2.5, "B70f"
    >>> traits_of(dataset, [])
    (('EchoTime', '2.5'), ('ConvolutionKernel', 'B70f'))
    """
    found: dict[str, str] = {}
    for sequence, name in _OF_FRAMES if groups else ():  # before those of the whole file, which are the same for all
        found[name] = found.get(name) or _text(attribute(None, groups, sequence, name))
    for name in TRAITS:
        found[name] = found.get(name) or _text(dataset.get(name))
    for group, element, maker, name in _OF_MAKERS:
        if not found.get(name):
            value = private(dataset, group, maker, element)
            found[name] = _first_of_ge(maker, name, "" if isinstance(value, bytes) else _text(value))
    if directions := attribute(None, groups, "MRDiffusionSequence", "DiffusionGradientDirectionSequence"):
        found["DiffusionGradientOrientation"] = _text(directions[0].get("DiffusionGradientOrientation"))
    indices = attribute(None, groups, "FrameContentSequence", "DimensionIndexValues")
    for number, index in enumerate([indices] if isinstance(indices, int) else indices or []):
        found[f"dimension {_dimension(dataset, number)}"] = str(index)  # PS3.3, C.7.6.17: whatever its maker thought of
    return tuple((name, value) for name, value in found.items() if value)


def _first_of_ge(maker: str, name: str, value: str) -> str:
    """GE's b-value is the first of four numbers, and has 10⁹ added where directions were many."""
    first = value.split("/")[0]
    if maker != "GEMS_PARM_01" or name != "DiffusionBValue" or not first.lstrip("-").isdigit():
        return value
    return str(int(first) % 10**9)


def _dimension(dataset: Any, number: int) -> str:
    from pydicom.datadict import keyword_for_tag

    stated = list(dataset.get("DimensionIndexSequence") or [])[number : number + 1]
    return (keyword_for_tag(stated[0].get("DimensionIndexPointer") or 0) if stated else "") or str(number + 1)


def _text(value: Any) -> str:
    from pydicom.multival import MultiValue

    if isinstance(value, (MultiValue, list, tuple)):
        return "/".join(str(part) for part in value)
    return "" if value is None else str(value)

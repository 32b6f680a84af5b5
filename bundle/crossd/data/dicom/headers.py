"""One DICOM file's header, read without its pixels: where each of its slices lies, and what tells them apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError

DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")

# What may tell apart slices that lie at one position of one series, the most telling first.
_TRAITS = (
    "EchoTime",
    "EchoNumbers",
    "DiffusionBValue",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "AcquisitionNumber",
    "ImageType",
    "SeriesNumber",
    "AcquisitionTime",
)
# The same inside the functional groups of a multi-frame object: (sequence, attribute).
_FRAME_TRAITS = (
    ("MREchoSequence", "EffectiveEchoTime"),
    ("MRDiffusionSequence", "DiffusionBValue"),
    ("FrameContentSequence", "TemporalPositionIndex"),
    ("FrameContentSequence", "StackID"),
    ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    ("MRImageFrameTypeSequence", "FrameType"),
    ("CTImageFrameTypeSequence", "FrameType"),
    ("PETFrameTypeSequence", "FrameType"),
)
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "PatientID",
    "Modality",
    "SeriesDescription",
    "InstanceNumber",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "ModalityLUTSequence",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    *_TRAITS,
]
_DICOMDIR = "1.2.840.10008.1.3.10"
_NOT_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation",
    "1.2.840.10008.5.1.4.1.1.481.2": "a radiotherapy dose",
}


@dataclass(frozen=True)
class Slice:
    """One 2D image of a DICOM file. Positions and directions are DICOM's: millimetres to left, posterior, superior.

    Attributes:
        path: the file.
        frame: number of the frame in a multi-frame object, from 0; None for a single-frame one.
        orientation: ImageOrientationPatient (0020,0037): direction of a row, then of a column; 6 cosines.
        position: ImagePositionPatient (0020,0032): centre of the first voxel.
        spacing: PixelSpacing (0028,0030): between rows, between columns.
        thickness: distance to the next slice as far as the header knows it; 0 if it does not.
        reader: "itk", or "pydicom" for what ITK reads differently (MONOCHROME1, look-up tables, frames).
        traits: name and value of what may tell apart slices at one position.
    """

    path: str
    frame: int | None
    series_uid: str
    instance_uid: str
    patient_id: str
    series_number: int
    instance_number: int
    modality: str
    description: str
    photometric: str
    rows: int
    columns: int
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    spacing: tuple[float, ...]
    thickness: float
    reader: str
    traits: tuple[tuple[str, str], ...]


def read_slices(path: str | os.PathLike[str]) -> list[Slice]:
    """The slices of one DICOM file; none if the file is not DICOM at all, or is a DICOMDIR.

    Raises:
        CrossDError: a DICOM file that holds no image (damaged, no pixels, colour, a segmentation), or one that does not
            state its place in the patient.
    """
    from pydicom import dcmread

    path = str(path)
    suffixed = path.lower().endswith(DICOM_SUFFIXES)
    try:
        if not _has_preamble(path) and not suffixed:
            return []
        dataset = dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=suffixed)
        sop_class = str(dataset.get("SOPClassUID", "") or dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    except Exception as error:  # pydicom raises whatever the damaged bytes lead it to
        raise CrossDError(
            f"A DICOM file must have a readable header: '{path}' has not ({error}). Copy the file again, or remove it."
        ) from error
    if sop_class == _DICOMDIR:
        return []
    if not sop_class:
        raise CrossDError(
            f"A file named as DICOM must be DICOM: '{path}' ({os.path.getsize(path)} bytes) has no SOPClassUID "
            "(0008,0016). Copy the file again, or remove it."
        )
    try:
        _check_is_image(path, dataset, sop_class)
        return list(_slices(path, dataset))
    except CrossDError:
        raise
    except Exception as error:
        raise CrossDError(
            f"A DICOM header must be well formed: that of '{path}' is not ({error}). Copy the file again, or remove it."
        ) from error


def _has_preamble(path: str) -> bool:
    """Whether `DICM` stands after the 128 bytes that open a DICOM file (PS3.10, 7.1)."""
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def _check_is_image(path: str, dataset: Any, sop_class: str) -> None:
    from pydicom.uid import UID

    kind = UID(sop_class).name
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise CrossDError(
            f"A DICOM object needs pixels to be classified: '{Path(path).name}' ({kind}) has none. "
            "Nothing to do unless you expected an image here; then export it again."
        )
    if sop_class in _NOT_IMAGES:
        raise CrossDError(
            f"A DICOM object must be an image: '{Path(path).name}' is {_NOT_IMAGES[sop_class]}. "
            "Nothing to do unless you expected an image here."
        )
    if int(dataset.get("SamplesPerPixel") or 1) != 1:
        raise CrossDError(
            f"A volume has one value per voxel: '{Path(path).name}' is in colour "
            f"({dataset.get('PhotometricInterpretation')}, {kind}). Convert it to grey levels, or remove it."
        )
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if syntax is not None and not syntax.is_compressed:  # deflated counts as compressed in pydicom
        frames = int(dataset.get("NumberOfFrames") or 1)
        needed = dataset.Rows * dataset.Columns * frames * int(dataset.get("BitsAllocated") or 8) // 8
        if os.path.getsize(path) < needed:
            raise CrossDError(
                f"A DICOM file must hold the pixels it declares: '{path}' has {os.path.getsize(path)} bytes where its "
                f"{frames} × {dataset.Rows} × {dataset.Columns} pixels need {needed}. It is cut short: copy it again."
            )


def _slices(path: str, dataset: Any) -> Iterator[Slice]:
    """One slice per frame; functional groups (PS3.3, C.7.6.16) state the geometry of a multi-frame object."""
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    for number, frame in enumerate(frames or [None]):
        groups = [group for group in (frame, *shared) if group is not None]
        position = _value(dataset, groups, "PlanePositionSequence", "ImagePositionPatient")
        orientation = _value(dataset, groups, "PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = _value(dataset, groups, "PixelMeasuresSequence", "PixelSpacing")
        multiple = not frames and int(dataset.get("NumberOfFrames") or 1) > 1
        kind = (dataset.get("Modality") or "unknown modality") + (", several frames" if multiple else "")
        if multiple or not position or not orientation or not spacing:
            raise CrossDError(
                f"A slice must state its place in the patient: '{Path(path).name}' ({kind}) lacks "
                "ImagePositionPatient (0020,0032), ImageOrientationPatient (0020,0037) or PixelSpacing (0028,0030). "
                "Projections and screenshots cannot be stacked; convert volumes to NIfTI."
            )
        thickness = _value(dataset, groups, "PixelMeasuresSequence", "SpacingBetweenSlices") or _value(
            dataset, groups, "PixelMeasuresSequence", "SliceThickness"
        )
        traits = [(name, _text(dataset.get(name))) for name in _TRAITS]
        traits += [(name, _text(_value(None, groups, sequence, name))) for sequence, name in _FRAME_TRAITS]
        photometric = str(dataset.get("PhotometricInterpretation") or "")
        plain = not frames and photometric == "MONOCHROME2" and not dataset.get("ModalityLUTSequence")
        yield Slice(
            path=path,
            frame=number if frames else None,
            series_uid=str(dataset.get("SeriesInstanceUID") or ""),
            instance_uid=str(dataset.get("SOPInstanceUID") or ""),
            patient_id=str(dataset.get("PatientID") or ""),
            series_number=int(dataset.get("SeriesNumber") or 0),
            instance_number=int(dataset.get("InstanceNumber") or 0),
            modality=str(dataset.get("Modality") or ""),
            description=str(dataset.get("SeriesDescription") or "").strip(),
            photometric=photometric,
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            orientation=tuple(float(value) for value in orientation),
            position=tuple(float(value) for value in position),
            spacing=tuple(float(value) for value in spacing),
            thickness=abs(float(thickness or 0)),
            reader="itk" if plain else "pydicom",
            traits=tuple((name, value) for name, value in traits if value),
        )


def _value(dataset: Any, groups: list[Any], sequence: str, name: str) -> Any:
    """An attribute from the first functional group that has it, else from the dataset itself."""
    for group in groups:
        items = group.get(sequence)
        if items and items[0].get(name) not in (None, ""):
            return items[0].get(name)
    return None if dataset is None else dataset.get(name)


def _text(value: Any) -> str:
    from pydicom.multival import MultiValue

    if isinstance(value, (MultiValue, list, tuple)):
        return "/".join(str(part) for part in value)
    return "" if value is None else str(value)

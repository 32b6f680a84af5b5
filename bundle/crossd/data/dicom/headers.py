"""One DICOM file's header, read without its pixels: where each of its slices lies, and what tells them apart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from crossd.data.dicom.agreement import check_bits, disagreements
from crossd.data.dicom.objects import Label, Rejected, check_is_image, kind_of_object, localizer
from crossd.data.dicom.slices import Slice
from crossd.data.dicom.structure import BoundedReader, check_inflated_size, check_structure
from crossd.data.dicom.values import attribute, finite, inverted_range, is_rescaled, padding_range, rescale
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
    "SequenceName",
    "InversionTime",
    "FlipAngle",
    "DiffusionGradientOrientation",
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
    "BitsStored",
    "HighBit",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
    *_TRAITS,
]
DICOMDIR = "1.2.840.10008.1.3.10"


def read_slices(path: str | os.PathLike[str]) -> list[Slice] | Rejected:
    """The slices of one DICOM file; none if the file is not DICOM at all, or is a DICOMDIR.

    What holds no image of a volume (no pixels, colour, a segmentation, a projection without a place in the patient)
    comes back as rejected, with its kind where no scan is lost by leaving it out.

    Raises:
        CrossDError: a damaged file.
    """
    from pydicom import dcmread

    path = str(path)
    suffixed = path.lower().endswith(DICOM_SUFFIXES)
    try:
        if not _has_preamble(path) and not suffixed:
            return []
        check_inflated_size(path)
        with BoundedReader(path) as file:
            dataset = dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=suffixed)
            told = check_structure(path, file, dataset) if dataset.get("Rows") else []
        sop_class = str(dataset.get("SOPClassUID", "") or dataset.file_meta.get("MediaStorageSOPClassUID", ""))
    except CrossDError:
        raise
    except Exception as error:  # pydicom raises whatever the damaged bytes lead it to
        raise CrossDError(
            f"A DICOM file must have a readable header: '{path}' has not ({error}). Copy the file again, or remove it."
        ) from error
    if sop_class == DICOMDIR:
        return []
    if not sop_class:
        raise CrossDError(
            f"A file named as DICOM must be DICOM: '{path}' ({os.path.getsize(path)} bytes) has no SOPClassUID "
            "(0008,0016). Copy the file again, or remove it."
        )
    try:
        check_is_image(path, dataset, sop_class)
        check_bits(path, dataset)
        return list(_slices(path, dataset, told))
    except CrossDError as error:
        return Rejected(path, str(error), kind_of_object(dataset, sop_class), _label(dataset))
    except Exception as error:
        raise CrossDError(
            f"A DICOM header must be well formed: that of '{path}' is not ({error}). Copy the file again, or remove it."
        ) from error


def _has_preamble(path: str) -> bool:
    """Whether `DICM` stands after the 128 bytes that open a DICOM file (PS3.10, 7.1)."""
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def _slices(path: str, dataset: Any, told: Sequence[str]) -> Iterator[Slice]:
    """One slice per frame; functional groups (PS3.3, C.7.6.16) state the geometry of a multi-frame object."""
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    label, planned_on = _label(dataset), localizer(dataset)
    for number, frame in enumerate(frames or [None]):
        groups = [group for group in (frame, *shared) if group is not None]
        position = attribute(dataset, groups, "PlanePositionSequence", "ImagePositionPatient")
        orientation = attribute(dataset, groups, "PlaneOrientationSequence", "ImageOrientationPatient")
        spacing = attribute(dataset, groups, "PixelMeasuresSequence", "PixelSpacing")
        multiple = not frames and int(dataset.get("NumberOfFrames") or 1) > 1
        kind = (dataset.get("Modality") or "unknown modality") + (", several frames" if multiple else "")
        if multiple or not position or not orientation or not spacing:
            raise CrossDError(
                f"A slice must state its place in the patient: '{Path(path).name}' ({kind}) lacks "
                "ImagePositionPatient (0020,0032), ImageOrientationPatient (0020,0037) or PixelSpacing (0028,0030). "
                "Projections and screenshots cannot be stacked; convert volumes to NIfTI."
            )
        slab = attribute(dataset, groups, "PixelMeasuresSequence", "SliceThickness") or 0
        thickness = attribute(dataset, groups, "PixelMeasuresSequence", "SpacingBetweenSlices") or slab
        traits = [(name, _text(dataset.get(name))) for name in _TRAITS]
        traits += [(name, _text(attribute(None, groups, sequence, name))) for sequence, name in _FRAME_TRAITS]
        photometric = str(dataset.get("PhotometricInterpretation") or "")
        inverted, padding = (
            photometric == "MONOCHROME1" and not is_rescaled(dataset, groups),
            padding_range(dataset, groups),
        )
        slope, intercept, odd = rescale(path, dataset, groups)
        yield Slice(
            path=path,
            frame=number if frames else None,
            series_uid=label.uid,
            instance_uid=str(dataset.get("SOPInstanceUID") or ""),
            patient_id=str(dataset.get("PatientID") or ""),
            series_number=label.number,
            instance_number=int(dataset.get("InstanceNumber") or 0),
            modality=label.modality,
            description=label.description,
            photometric=photometric,
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            orientation=finite(path, "ImageOrientationPatient (0020,0037)", orientation, 6),
            position=finite(path, "ImagePositionPatient (0020,0032)", position, 3),
            spacing=finite(path, "PixelSpacing (0028,0030)", spacing, 2, positive=True),
            thickness=abs(float(thickness)),
            traits=tuple((name, value) for name, value in traits if value),
            localizer=planned_on,
            padding=inverted_range(dataset, padding) if inverted else padding,
            inverted=inverted,
            slab=abs(float(slab)),
            rescale=(slope, intercept),
            notes=(*told, *odd, *disagreements(dataset, groups)),
        )


def _label(dataset: Any) -> Label:
    return Label(
        str(dataset.get("SeriesInstanceUID") or ""),
        str(dataset.get("Modality") or ""),
        str(dataset.get("SeriesDescription") or "").strip(),
        int(dataset.get("SeriesNumber") or 0),
    )


def _text(value: Any) -> str:
    from pydicom.multival import MultiValue

    if isinstance(value, (MultiValue, list, tuple)):
        return "/".join(str(part) for part in value)
    return "" if value is None else str(value)

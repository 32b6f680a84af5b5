"""One DICOM file's header, read without its pixels: where each of its slices lies, and what tells them apart."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from crossd.data import decoder
from crossd.data.dicom.agreement import check_bits, disagreements
from crossd.data.dicom.distinctions import traits_of
from crossd.data.dicom.mosaics import mosaic_of
from crossd.data.dicom.non_scans import Label, Rejected, check_is_image, kind_of_object, needs_pixels, no_scan
from crossd.data.dicom.slices import Slice
from crossd.data.dicom.structure import (
    BoundedReader,
    check_inflated_size,
    check_structure,
    first_elements,
    has_preamble,
)
from crossd.data.dicom.values import (
    attribute,
    finite,
    inverted_range,
    is_encoded,
    is_lossy,
    is_rescaled,
    padding_range,
    rescale,
)
from crossd.errors import CrossDError

DICOM_SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")

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
    named = path.lower().endswith(DICOM_SUFFIXES)
    whole = False  # a link to nowhere cannot be opened
    try:
        whole = has_preamble(path)
        if not whole and not named and not first_elements(path):
            return []
        check_inflated_size(path)
        with BoundedReader(path) as file:
            dataset = dcmread(file, stop_before_pixels=True, force=not whole)
            sop_class = str(dataset.get("SOPClassUID", "") or dataset.file_meta.get("MediaStorageSOPClassUID", ""))
            told = check_structure(path, file, dataset, needs_pixels(sop_class)) if dataset.get("Rows") else []
            if told is None:
                del dataset.Rows  # of pixels that are not there
            elif dataset.get("Rows") and is_encoded(dataset):
                decoder.start()  # while other headers are read
    except CrossDError:
        raise
    except Exception as error:  # pydicom raises whatever the damaged bytes lead it to
        if not whole and not named:
            return []
        raise CrossDError(
            f"A DICOM file must have a readable header: '{path}' has not ({error}). Copy the file again, or remove it."
        ) from error
    if sop_class == DICOMDIR or not (sop_class or whole or named):
        return []
    if not sop_class:
        raise CrossDError(
            f"A file named as DICOM must be DICOM: '{path}' ({os.path.getsize(path)} bytes) has no SOPClassUID "
            "(0008,0016). Copy the file again, or remove it."
        )
    try:
        check_is_image(path, dataset, sop_class)
        check_bits(path, dataset)
        if mosaic := mosaic_of(path, dataset):
            dataset.Rows, dataset.Columns, places = mosaic
            dataset.ImagePositionPatient = list(places[0])
        slices = list(_slices(path, dataset, sop_class, told or []))
        if mosaic:
            return [replace(slices[0], tile=tile, position=place) for tile, place in enumerate(mosaic[2])]
        return slices
    except CrossDError as error:
        return Rejected(path, str(error), kind_of_object(dataset, sop_class), _label(dataset))
    except Exception as error:
        raise CrossDError(
            f"A DICOM header must be well formed: that of '{path}' is not ({error}). Copy the file again, or remove it."
        ) from error


def _slices(path: str, dataset: Any, sop_class: str, told: Sequence[str]) -> Iterator[Slice]:
    """One slice per frame; functional groups (PS3.3, C.7.6.16) state the geometry of a multi-frame object."""
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])
    label, (is_no_scan, known_by) = _label(dataset), no_scan(dataset, sop_class)
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
        photometric = str(dataset.get("PhotometricInterpretation") or "")
        inverted = photometric == "MONOCHROME1" and not is_rescaled(dataset, groups)
        padding = padding_range(dataset, groups)
        slope, intercept, odd = rescale(path, dataset, groups)
        yield Slice(
            path=path,
            frame=number if frames else None,
            label=label,
            instance_uid=str(dataset.get("SOPInstanceUID") or ""),
            patient_id=str(dataset.get("PatientID") or ""),
            instance_number=int(dataset.get("InstanceNumber") or 0),
            photometric=photometric,
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            orientation=finite(path, "ImageOrientationPatient (0020,0037)", orientation, 6),
            position=finite(path, "ImagePositionPatient (0020,0032)", position, 3),
            spacing=finite(path, "PixelSpacing (0028,0030)", spacing, 2, positive=True),
            thickness=abs(float(thickness)),
            traits=traits_of(dataset, groups),
            kind=is_no_scan,
            known_by=known_by,
            padding=inverted_range(dataset, padding) if inverted else padding,
            inverted=inverted,
            slab=abs(float(slab)),
            lossy=is_lossy(dataset),
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

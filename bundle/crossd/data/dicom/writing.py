"""Write a volume as a DICOM series: what the demo and the tests read back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crossd.errors import CrossDError, one_of

_SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_LPS_FROM_RAS = np.array([-1.0, -1.0, 1.0])  # DICOM's patient axes point left and posterior, NIfTI's right and anterior


def write_dicom_series(
    folder: str | os.PathLike[str],
    volume: np.ndarray,
    voxel_to_world: np.ndarray,
    *,
    modality: str = "MR",
    series_uid: str | None = None,
    description: str = "",
    patient_id: str = "phantom",
    slope: float | None = None,
    intercept: float | None = None,
    photometric: str = "MONOCHROME2",
    transfer_syntax: str = "1.2.840.10008.1.2.1",
    instance_numbers: Sequence[int] | None = None,
    prefix: str = "",
    **tags: Any,
) -> list[Path]:
    """Write one single-frame DICOM file per slice of a volume.

    Args:
        folder: made if it is not there; other files in it stay.
        volume: `(i, j, k)`; `i` becomes the column, `j` the row and `k` the slice of DICOM.
        voxel_to_world: 4 × 4, voxel index to millimetres in RAS, as nibabel has it. Columns and rows must be
            perpendicular; the slice axis may be sheared (a gantry tilt) or left-handed.
        modality: "CT", "MR" or "PT".
        series_uid: SeriesInstanceUID (0020,000E); a new one by default.
        description: SeriesDescription (0008,103E).
        patient_id: PatientID (0010,0020), used as PatientName too; series of one patient share a study.
        slope, intercept: RescaleSlope (0028,1053) and RescaleIntercept (0028,1052). By default 1 and 0 for integers;
            for floats, what spreads the range of the volume over 16 bits.
        photometric: "MONOCHROME2" or "MONOCHROME1"; says how values are shown and changes none of them.
        transfer_syntax: UID of the encoding; compressed ones need a codec that pydicom can encode with.
        instance_numbers: InstanceNumber (0020,0013) per slice, 1, 2, … by default.
        prefix: put before the file names, for two series in one folder.
        tags: any other DICOM keyword, for instance `PatientPosition="HFS"`; None leaves the element out.

    Returns:
        The files, in the order of `k`.

    Raises:
        CrossDError: unknown modality, not a 3D volume, values beyond 16 bits, or columns not perpendicular to rows.

    >>> import tempfile
    >>> files = write_dicom_series(tempfile.mkdtemp(), np.zeros((4, 3, 2), dtype=np.int16), np.eye(4))
    >>> [file.name for file in files]
    ['000000.dcm', '000001.dcm']
    """
    from pydicom.uid import UID, generate_uid

    one_of("modality", modality, sorted(_SOP_CLASSES))
    volume, voxel_to_world = np.asarray(volume), np.asarray(voxel_to_world, dtype=float)
    if volume.ndim != 3:
        raise CrossDError(f"A DICOM series is written from a volume (i, j, k), got shape {volume.shape}. Pass 3 axes.")
    stored, slope, intercept = _stored_values(volume, slope, intercept)
    series_uid = series_uid or generate_uid()
    study_uid = generate_uid(entropy_srcs=["crossd study", patient_id])
    orientation, spacing, positions = _geometry(voxel_to_world, volume.shape[2])
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for k in range(volume.shape[2]):
        pixels = stored[:, :, k].T.astype(stored.dtype.newbyteorder(">" if transfer_syntax == _BIG_ENDIAN else "<"))
        instance_uid = generate_uid(entropy_srcs=[series_uid, str(k)])
        dataset = _slice_dataset(pixels, UID(_SOP_CLASSES[modality]), instance_uid)
        elements: dict[str, Any] = {
            "PatientName": patient_id,
            "PatientID": patient_id,
            "StudyInstanceUID": study_uid,
            "SeriesInstanceUID": series_uid,
            "FrameOfReferenceUID": generate_uid(entropy_srcs=["crossd frame", patient_id]),
            "Modality": modality,
            "SeriesDescription": description,
            "InstanceNumber": k + 1 if instance_numbers is None else instance_numbers[k],
            "ImagePositionPatient": positions[k],
            "ImageOrientationPatient": orientation,
            "PixelSpacing": [_decimal(spacing[1]), _decimal(spacing[0])],  # between rows (j), then columns (i)
            "SliceThickness": _decimal(spacing[2]),
            "PhotometricInterpretation": photometric,
            "RescaleSlope": _decimal(slope),
            "RescaleIntercept": _decimal(intercept),
            **tags,
        }
        for keyword, value in elements.items():
            if value is not None:
                setattr(dataset, keyword, value)
            elif keyword in dataset:
                delattr(dataset, keyword)
        if UID(transfer_syntax).is_compressed and not UID(transfer_syntax).is_deflated:
            dataset.compress(transfer_syntax, generate_instance_uid=False)
        else:
            dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
        path = folder / f"{prefix}{k:06d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        files.append(path)
    return files


def _stored_values(volume: np.ndarray, slope: float | None, intercept: float | None) -> tuple[np.ndarray, float, float]:
    """Integers of 16 bits, with the slope and intercept that give the values back."""
    if np.issubdtype(volume.dtype, np.floating) and slope is None and intercept is None:
        low, high = float(volume.min()), float(volume.max())
        intercept, slope = low, (high - low) / 65535 or 1.0
    slope, intercept = (1.0 if slope is None else slope), (0.0 if intercept is None else intercept)
    slope, intercept = float(_decimal(slope)), float(_decimal(intercept))  # what the file will say
    stored = np.rint((volume.astype(np.float64) - intercept) / slope)
    if slope == 1.0 and intercept == 0.0 and stored.min(initial=0) < 0:
        kind: Any = np.int16
    else:
        kind = np.uint16 if stored.min(initial=0) >= 0 else np.int16
    limits = np.iinfo(kind)
    if stored.size and stored.max() == limits.max + 1:  # the rounding of a slope to 16 characters
        stored = np.minimum(stored, limits.max)
    if stored.size and (stored.min() < limits.min or stored.max() > limits.max):
        raise CrossDError(
            f"Stored pixel values must fit into 16 bits, got {stored.min():.0f} to {stored.max():.0f}. "
            "Pass a larger slope, or an intercept near the smallest value."
        )
    return stored.astype(kind), slope, intercept


def _geometry(voxel_to_world: np.ndarray, slices: int) -> tuple[list[str], np.ndarray, list[list[str]]]:
    """ImageOrientationPatient, spacing (i, j, k) and one ImagePositionPatient per slice."""
    lps = _LPS_FROM_RAS[:, None] * voxel_to_world[:3]
    spacing = np.linalg.norm(lps[:, :3], axis=0)
    columns, rows = lps[:, 0] / spacing[0], lps[:, 1] / spacing[1]
    if abs(columns @ rows) > 1e-4:
        raise CrossDError(
            f"DICOM rows and columns must be perpendicular, got a cosine of {columns @ rows:.4f} between the first two "
            "axes of voxel_to_world. Resample the volume onto an orthogonal grid first."
        )
    orientation = [_decimal(value) for value in (*columns, *rows)]
    return orientation, spacing, [[_decimal(value) for value in lps[:, 2] * k + lps[:, 3]] for k in range(slices)]


def _slice_dataset(pixels: np.ndarray, sop_class: Any, sop_instance: Any) -> Any:
    """One image `(row, column)` with what every slice of the series has in common."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = sop_class
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = sop_instance
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    for keyword in ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"):
        setattr(dataset, keyword, "")
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.Manufacturer = "crossd"
    dataset.SeriesNumber = 1
    dataset.SamplesPerPixel = 1
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    return dataset


def _decimal(value: float) -> str:
    """A DICOM decimal string: 16 characters at most."""
    from pydicom.valuerep import format_number_as_ds

    return format_number_as_ds(float(value) + 0.0)  # + 0.0 turns −0 into 0

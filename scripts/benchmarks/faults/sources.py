"""The good cases that are damaged: made phantoms, or scans of one's own."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from crossd.data import Series, find_cases, write_dicom_series
from crossd.data.content import source_files
from crossd.data.nifti import axial_to_stored
from crossd.data.phantoms import vessel_phantom
from crossd.errors import CrossDError
from pydicom.uid import generate_uid

_RLE = "1.2.840.10008.1.2.5"


@dataclass(frozen=True)
class Source:
    """A case that can be read.

    Attributes:
        name: of its folder.
        folder: holds its files and nothing else.
        kind: "nifti", "itk" (NRRD, MetaImage) or "dicom".
    """

    name: str
    folder: Path
    kind: str

    def copy_to(self, folder: Path) -> None:
        """Its files into a new folder; DICOM as a series of its own, for a series is one wherever its files lie."""
        shutil.copytree(self.folder, folder)
        if self.kind != "dicom":
            return
        for file in folder.iterdir():
            dataset = pydicom.dcmread(file)
            for name in ("SOPInstanceUID", "SeriesInstanceUID"):
                setattr(dataset, name, generate_uid(entropy_srcs=[str(dataset.get(name)), folder.name]))
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            dataset.save_as(file, enforce_file_format=False)


def make_sources(folder: Path, size: int = 28) -> list[Source]:
    """Write one phantom in each format: NIfTI as one file, packed, float, and as a pair; NRRD, MetaImage, DICOM.

    Args:
        folder: receives a folder for each.
        size: voxels along each axis.
    """
    import itk
    import nibabel

    vessel = vessel_phantom(1, aneurysm=True, size=size).astype(np.float64)
    texture = np.random.default_rng(0).normal(0, 20, vessel.shape)
    stored, affine = axial_to_stored((vessel + texture).round().astype(np.int16), (1.5, 1.0, 1.0))
    made = []

    def add(name: str, kind: str) -> Path:
        made.append(Source(name, folder / name, kind))
        made[-1].folder.mkdir(parents=True)
        return made[-1].folder

    for name, dtype, suffix in (
        ("nifti", "int16", ".nii"),
        ("nifti_packed", "int16", ".nii.gz"),
        ("nifti_float", "float32", ".nii"),
        ("nifti_pair", "int16", ".hdr"),
    ):
        kind: Any = nibabel.Nifti1Pair if suffix == ".hdr" else nibabel.Nifti1Image
        image = kind(stored.astype(dtype), affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, add(name, "nifti") / f"scan{suffix}")
    for suffix, packed in ((".nrrd", True), (".nhdr", False), (".mha", True), (".mhd", False)):
        image = itk.image_from_array(np.ascontiguousarray(stored.transpose(2, 1, 0)))
        image.SetSpacing([1.0, 1.0, 1.5])
        itk.imwrite(image, str(add(suffix[1:], "itk") / f"scan{suffix}"), compression=packed)
    write_dicom_series(add("dicom", "dicom"), stored, affine, description="phantom")
    write_dicom_series(add("dicom_rle", "dicom"), stored, affine, description="phantom", transfer_syntax=_RLE)
    return made


def copy_sources(cases: str | os.PathLike[str], folder: Path) -> list[Source]:
    """Copy the cases under a path that are made of files of one folder.

    Raises:
        CrossDError: none of them is a good case.
    """
    copied = []
    for item in find_cases(cases):
        if item["error"] or len(item["image"]) != 1:
            continue
        source = item["image"][0]
        kind = "dicom" if isinstance(source, Series) else "nifti" if ".nii" in str(source).lower() else "itk"
        kind = "nifti" if str(source).lower().endswith((".hdr", ".hdr.gz")) else kind
        copied.append(Source(item["case"], folder / item["case"], kind))
        copied[-1].folder.mkdir(parents=True)
        for file in source_files(source):
            shutil.copy(file, copied[-1].folder / os.path.basename(file))
    if not copied:
        raise CrossDError(f"A fault campaign needs good cases to damage: there is none under '{cases}'. Pass others.")
    return copied

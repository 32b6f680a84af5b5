"""One volume out of a NIfTI, NRRD or MetaImage file."""

from __future__ import annotations

import gzip
import os
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossd.errors import CrossDError

NIFTI_SUFFIXES = (".nii", ".nii.gz", ".hdr")  # .hdr: the header of a pair, whose voxels are in the .img beside it
ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
VOLUME_SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES)


@dataclass(frozen=True)
class Volume:
    """Voxels in the order of their file, and where they lie.

    Attributes:
        voxels: float32, `(i, j, k)`.
        voxel_to_world: 4 × 4, voxel index to millimetres in RAS.
        has_affine: whether the file states where the voxels lie; spacing only, otherwise.
        warnings: what a user should know.
    """

    voxels: np.ndarray
    voxel_to_world: np.ndarray
    has_affine: bool = True
    warnings: tuple[str, ...] = ()


def read_volume_file(path: str | os.PathLike[str]) -> Volume:
    """Read a file by its suffix, scale slopes applied.

    Raises:
        CrossDError: a file that is missing, damaged, of another format, in colour, complex, 2D or 4D.
    """
    path = str(path)
    if not os.path.isfile(path):
        raise CrossDError(f"An image file must exist: '{path}' does not. Check the path.")
    if os.path.getsize(path) == 0:
        raise CrossDError(f"An image file must not be empty: '{path}' has 0 bytes. Copy it again.")
    lower = path.lower()
    try:
        if lower.endswith(NIFTI_SUFFIXES):
            return _read_nifti(path)
        if lower.endswith(ITK_SUFFIXES):
            return _read_with_itk(path)
    except CrossDError:
        raise
    except MemoryError as error:
        raise CrossDError(
            f"A volume must fit into memory: '{path}' declares more than there is. "
            "Its header is damaged, or it must be resampled or cropped first."
        ) from error
    except Exception as error:  # nibabel, gzip, zlib and ITK have an exception for every kind of damage
        if isinstance(error, (EOFError, zlib.error, OSError, RuntimeError)) or type(error).__module__.startswith("nib"):
            raise CrossDError(
                f"An image file must be whole: '{path}' is truncated or damaged ({' '.join(str(error).split())}). "
                "Copy it again."
            ) from error
        raise CrossDError(
            f"An image file must be readable: '{path}' is not ({type(error).__name__}: {error}). "
            "Check its format or convert it to NIfTI."
        ) from error
    raise CrossDError(
        f"An image file must be DICOM or end in one of {', '.join(VOLUME_SUFFIXES)}, got '{path}'. Convert it to NIfTI."
    )


def _read_nifti(path: str) -> Volume:
    import nibabel

    image: Any = nibabel.load(path)
    header = image.header
    _check_values(path, header.get_data_dtype())
    shape = _check_axes(path, image.shape)
    warnings = []
    sform, qform = int(header.get("sform_code", 0)), int(header.get("qform_code", 0))
    has_affine = bool(sform or qform)
    voxel_to_world = np.asarray(image.affine, dtype=np.float64)
    if not has_affine:
        zooms = [float(zoom) if np.isfinite(zoom) and zoom > 0 else 1.0 for zoom in header.get_zooms()[:3]]
        voxel_to_world = np.diag([*zooms, *[1.0] * (4 - len(zooms))])
        warnings.append(
            "The file states no orientation (sform_code and qform_code are 0): its axes are used in their own order."
        )
    elif sform and qform and not np.allclose(header.get_sform(), header.get_qform(), rtol=0, atol=0.1):
        apart = np.abs(header.get_sform() - header.get_qform()).max()
        warnings.append(f"sform and qform of the file disagree (by up to {apart:.2f}): the sform is used.")
    if path.lower().endswith(".gz"):
        voxels = _whole_gzip(path, type(image))
    else:
        voxels = image.get_fdata(dtype=np.float32, caching="unchanged")
    return Volume(voxels.reshape(shape), voxel_to_world, has_affine, tuple(warnings))


def _whole_gzip(path: str, kind: Any) -> np.ndarray:
    """Voxels of a .nii.gz, read to its end: only there stands the checksum, which nibabel stops short of."""
    with gzip.open(path) as stream:
        voxels = kind.from_stream(stream).get_fdata(dtype=np.float32, caching="unchanged")
        while stream.read(1 << 20):
            pass
    return voxels


def _read_with_itk(path: str) -> Volume:
    import itk

    header = itk.ImageIOFactory.CreateImageIO(path, itk.CommonEnums.IOFileMode_ReadMode)
    if header is None:
        raise CrossDError(
            f"An image file must hold what its name says: ITK finds no NRRD or MetaImage in '{path}'. Copy it again."
        )
    header.SetFileName(path)
    header.ReadImageInformation()
    if header.GetNumberOfComponents() != 1:
        raise CrossDError(
            f"A volume has one value per voxel: '{path}' has {header.GetNumberOfComponents()}. "
            "Give each component a file of its own (image_1, image_2, … in a CSV), or convert colour to grey levels."
        )
    dimensions = int(header.GetNumberOfDimensions())
    shape = _check_axes(path, tuple(int(header.GetDimensions(axis)) for axis in range(dimensions)))
    image = itk.imread(path, pixel_type=itk.F)
    voxels = itk.array_from_image(image)  # (…, k, j, i)
    spacing, origin = np.asarray(itk.spacing(image))[:3], np.asarray(itk.origin(image))[:3]
    direction = np.asarray(itk.array_from_matrix(image.GetDirection()))[:3, :3]
    voxel_to_world = np.eye(4)
    voxel_to_world[:3, :3], voxel_to_world[:3, 3] = direction * spacing, origin
    stated = not path.lower().endswith((".nrrd", ".nhdr")) or "NRRD_space" in dict(image)
    warnings = () if stated else ("The file states no space (NRRD `space`): its axes are used in their own order.",)
    voxels = voxels.transpose().reshape(shape)
    return Volume(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]) @ voxel_to_world, stated, warnings)  # ITK's world is LPS


def _check_values(path: str, dtype: np.dtype) -> None:
    if dtype.fields is not None:
        raise CrossDError(
            f"A volume has one value per voxel: '{path}' is in colour (fields {', '.join(dtype.fields)}). "
            "Convert it to grey levels."
        )
    if dtype.kind == "c":
        raise CrossDError(f"A volume has real values: '{path}' is complex ({dtype}). Write its magnitude instead.")


def _check_axes(path: str, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The three spatial sizes; axes of length 1 after them do not count."""
    if len(shape) >= 3 and all(size == 1 for size in shape[3:]) and min(shape) > 0:
        return shape[0], shape[1], shape[2]
    if len(shape) < 3:
        remedy = "A single image is no volume: stack the slices, or use a 2D network."
    else:
        remedy = "Write the volume that is meant as a file of its own, for instance with nibabel.four_to_three()."
    raise CrossDError(f"A volume has three axes: '{path}' has {len(shape)}, of sizes {shape}. {remedy}")

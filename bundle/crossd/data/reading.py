"""The one path by which volumes are read, whatever their format, for inference, training and evaluation."""

from __future__ import annotations

import os
import zlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import SpaceKeys, TraceKeys

from crossd.data.channels import stack_channels
from crossd.data.declared_sizes import check_voxels
from crossd.data.dicom import find_series
from crossd.data.dicom.headers import DICOM_SUFFIXES
from crossd.data.dicom.pixels import read_series
from crossd.data.dicom.selection import SeriesFilter
from crossd.data.dicom.series import Series
from crossd.data.dicom.straightening import TILT
from crossd.data.folders import files_below, no_file, unusable
from crossd.data.nifti import read_nifti
from crossd.data.resampling import tidy_affine
from crossd.data.text_volumes import read_text_volume
from crossd.data.volume import (
    NIFTI_SUFFIXES,
    TEXT_SUFFIXES,
    VOLUME_SUFFIXES,
    Volume,
    check_place,
    header_of,
    odd_size,
    split_volume,
)
from crossd.errors import CrossDError, one_of

# What MONAI writes into the meta data of images, besides its own classes: names and arrays. Without this,
# `PersistentDataset(track_meta=True)` finds every file of its cache unsafe and computes it again.
_rebuild_array: Any = np.zeros(0).__reduce__()[0]  # numpy moved it from `core` to `_core`
torch.serialization.add_safe_globals(
    [TraceKeys, np.ndarray, np.dtype, _rebuild_array, *(type(np.dtype(kind)) for kind in ("f8", "i8"))]
)

Source = str | os.PathLike[str] | Series


def read_volume(
    source: Source | Sequence[Source],
    volume: int | None = None,
    series: str | Sequence[str] | None = None,
    tilt: str = "correct",
) -> MetaTensor:
    """Read an image of one or several channels.

    Args:
        source: a NIfTI, NRRD or MetaImage file (`FILE@NUMBER` for one volume of a 4D file), a DICOM folder with one
            series, a DICOM file, a `Series`; or a list of them, one per channel. Later channels are resampled by affine
            onto the first.
        volume: which volume of the 4D files among them, from 0, where the source does not say it.
        series: which series is meant where a folder holds several, by description, modality or UID, as
            `crossd.data.dicom.selection.SeriesFilter` has it.
        tilt: "correct" or "refuse" for series of a tilted gantry, as `read_series` has it.

    Returns:
        float32 `(channel, i, j, k)` in the order of the file (DICOM: column index, row index, slice along the normal),
        with the affine (RAS, millimetres) and in `meta`:

        - `filename_or_obj`: the (first) file, or the folder of a series
        - `original_channel_dim`: 0
        - `has_affine`: False where the file states spacing only
        - `modality`: DICOM's; empty where the (first) file does not say it
        - `warnings`: what a user should know, one line each; one string, so that items collate into batches

    Raises:
        CrossDError: with the reason, for whatever is not a finite 3D volume, and for channels that do not overlap.
    """
    if isinstance(source, (str, os.PathLike, Series)):
        source = [source]
    if not source:
        raise CrossDError("An image needs at least one channel, got an empty list. Name a file per channel.")
    names = [item.folder if isinstance(item, Series) else split_volume(item)[0] for item in source]
    volumes = [_read_checked(item, name, volume, series, tilt) for item, name in zip(source, names, strict=True)]
    if len(volumes) == 1:
        voxels, warnings = torch.from_numpy(volumes[0].voxels)[None], list(volumes[0].warnings)
    else:
        voxels = stack_channels(volumes, names)
        told = enumerate((item.warnings for item in volumes), 1)
        warnings = [f"channel {number}: {warning}" for number, of_channel in told for warning in of_channel]
    meta = {
        "filename_or_obj": names[0],
        "original_channel_dim": 0,
        "original_affine": torch.from_numpy(volumes[0].voxel_to_world),
        "spatial_shape": np.array(voxels.shape[1:]),
        "space": SpaceKeys.RAS,
        "has_affine": volumes[0].has_affine,
        "modality": volumes[0].modality,
        "warnings": "\n".join(warnings),
    }
    return MetaTensor(voxels, affine=torch.from_numpy(tidy_affine(volumes[0].voxel_to_world)), meta=meta)


class LoadImageVolumed(MapTransform):
    """Dictionary form of `read_volume`.

    Args:
        keys: entries that hold a channel source or a list of them.
        allow_missing_keys: whether to skip entries that are not there.
        volume: which volume of 4D files, from 0; None where the sources say it, or are 3D.
        series, tilt: of DICOM sources, as `read_volume` takes them.

    MONAI Deploy feeds images itself and leaves out transforms named `LoadImage…`, hence the name.
    """

    def __init__(
        self,
        keys: KeysCollection,
        allow_missing_keys: bool = False,
        volume: int | None = None,
        series: str | Sequence[str] | None = None,
        tilt: str = "correct",
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if volume is not None and (isinstance(volume, bool) or not isinstance(volume, int) or volume < 0):
            raise CrossDError(f"volume must be a number from 0, or null, got {volume!r}. Example: --volume 0.")
        self.options = (volume, SeriesFilter(series).patterns, one_of("tilt", tilt, TILT))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace each entry by its image, `MetaTensor (channel, i, j, k)`."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = read_volume(d[key], *self.options)
        return d


def _read_checked(source: Source, name: str, number: int | None, series: Any, tilt: str) -> Volume:
    volume = _read_one(source, number, series, tilt)
    if not np.isfinite(volume.voxels.sum(dtype=np.float64)):  # one number for all: a mask of them takes memory
        finite = np.isfinite(volume.voxels)
        where = tuple(int(index) for index in np.argwhere(~finite)[0])
        raise CrossDError(
            f"Voxels must be finite numbers: '{name}' has {int((~finite).sum())} that are NaN or infinite, the first "
            f"at {where}. Replace them, for instance with numpy.nan_to_num, after finding out what they stand for."
        )
    check_place(name, volume.voxel_to_world)
    told = odd_size(volume.voxel_to_world, volume.voxels.shape)
    return replace(volume, warnings=(*volume.warnings, *told))


def _read_one(source: Source, number: int | None, wanted: Any, tilt: str) -> Volume:
    if isinstance(source, Series):
        check_voxels(source.folder, source.shape)
        voxels, voxel_to_world, warnings = read_series(source, tilt)
        return Volume(voxels, voxel_to_world, True, warnings, source.modality)
    path = Path(split_volume(source)[0])
    if path.is_file() and path.name.lower().endswith(VOLUME_SUFFIXES):
        return read_volume_file(source, number)
    if not path.exists():
        raise CrossDError(f"An image file or DICOM folder must exist: '{path}' does not. Check the path.")
    if not path.is_file() and not path.is_dir():
        raise CrossDError(no_file(path))
    files, unreadable = files_below(path) if path.is_dir() else ([str(path)], [])
    series, rejected = find_series(files, wanted, localizers=path.is_file())
    if not series:
        if rejected or unreadable:
            raise CrossDError((*rejected, *unreadable)[0].reason)
        if path.is_file() and not path.name.lower().endswith(DICOM_SUFFIXES):
            return read_volume_file(path)  # says which formats there are
        raise CrossDError(f"An image folder must hold a DICOM series: '{path}' holds none. Check the path.")
    if len(series) > 1:
        raise CrossDError(
            f"An image folder must hold one DICOM series: '{path}' holds {len(series)} "
            f"({'; '.join(str(item) for item in series)}). Choose one by --series, put each into its own "
            "folder, or pass the folder as images, where every series is a case."
        )
    found = _read_one(series[0], number, wanted, tilt)
    left_out = [f"Left out: {item.reason}" for item in (*rejected, *unreadable)]
    return replace(found, warnings=(*found.warnings, *left_out))


def read_volume_file(path: str | os.PathLike[str], volume: int | None = None) -> Volume:
    """Read a file by its suffix, scale slopes applied.

    Args:
        path: a file, or `FILE@NUMBER` for one volume of a 4D file.
        volume: which volume of a 4D file, from 0, where the path does not say it.

    Raises:
        CrossDError: a file that is missing, damaged, of another format, in colour, complex, 2D, or 4D without a choice.
    """
    path, chosen = split_volume(path)
    path = header_of(path)
    volume = volume if chosen is None else chosen
    if reason := unusable(path):
        raise CrossDError(reason)
    lower = path.lower()
    try:
        if lower.endswith(NIFTI_SUFFIXES):
            return read_nifti(path, volume)
        if lower.endswith(TEXT_SUFFIXES):
            return read_text_volume(path, volume)
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

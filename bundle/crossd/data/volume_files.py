"""One volume out of a NIfTI, NRRD or MetaImage file, and one kind of error for every kind of damage."""

from __future__ import annotations

import os
import zlib

from crossd.data.itk_volumes import read_with_itk
from crossd.data.nifti import read_nifti
from crossd.data.volume import ITK_SUFFIXES, NIFTI_SUFFIXES, VOLUME_SUFFIXES, Volume, header_of, split_volume
from crossd.errors import CrossDError


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
    if not os.path.isfile(path):
        raise CrossDError(f"An image file must exist: '{path}' does not. Check the path.")
    if os.path.getsize(path) == 0:
        raise CrossDError(f"An image file must not be empty: '{path}' has 0 bytes. Copy it again.")
    lower = path.lower()
    try:
        if lower.endswith(NIFTI_SUFFIXES):
            return read_nifti(path, volume)
        if lower.endswith(ITK_SUFFIXES):
            return read_with_itk(path, volume)
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

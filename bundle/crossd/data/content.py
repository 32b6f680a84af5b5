"""What the voxels of a case depend on, as one hash: the bytes of its files, the transforms, and the code that runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crossd.data.dicom.series import Series
from crossd.data.folders import files_below, no_file
from crossd.data.text_headers import read_text_header
from crossd.data.volume import TEXT_SUFFIXES, header_of, split_volume
from crossd.errors import CrossDError
from crossd.files import digest
from crossd.version import __version__

_LIBRARIES = ("torch", "monai", "numpy", "nibabel", "pydicom", "itk")
_CODECS = ("pylibjpeg-openjpeg", "pyjpegls", "pylibjpeg-rle", "python-gdcm", "pillow")  # pydicom takes what there is


def source_files(source: str | os.PathLike[str] | Series) -> list[str]:
    """Every file that a channel source is read from, in a fixed order.

    A pair of .hdr and .img, the files that a NRRD or MetaImage header names, all files below a folder, all of a series.

    >>> source_files("/scans/t1.nii.gz@2")
    ['/scans/t1.nii.gz']
    """
    if isinstance(source, Series):
        return list(dict.fromkeys(source.files))
    path = header_of(split_volume(source)[0])
    if not os.path.isfile(path) and os.path.exists(path) and not os.path.isdir(path):
        raise CrossDError(no_file(path))  # to open a pipe may take forever
    if os.path.isdir(path):
        return files_below(path)[0]
    for suffix in (".hdr", ".hdr.gz"):
        if path.lower().endswith(suffix):
            stem = path[: -len(suffix)]
            beside = [stem + other for other in (".img", ".IMG", ".img.gz", ".IMG.GZ")]
            return [path, *(other for other in beside if os.path.isfile(other))]
    if path.lower().endswith(TEXT_SUFFIXES):
        return list(dict.fromkeys([path, *read_text_header(path).files]))
    return [path]


def content_key(sources: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """The hash of everything that decides what preprocessing gives, in hexadecimal digits.

    Where a file lies and when it was written is not in it: a copy of a file hits, a changed file of the same name, size
    and date misses. A folder's name and those of the files in it are, as warnings name them. 1 GB takes about a second.

    Args:
        sources: entries of an item: each a channel source, or a list of them.
        parameters: of the transforms, as plain JSON values.

    Raises:
        OSError, CrossDError: a file that cannot be read.
    """
    stated = json.dumps([dict(parameters), _code()], sort_keys=True, default=str)
    whole = hashlib.blake2b(stated.encode(), digest_size=20)
    for key, source in sources.items():
        channels: Sequence[Any] = [source] if isinstance(source, (str, os.PathLike, Series)) else source
        for channel in channels:
            said, files = _described(channel), source_files(channel)
            folder = not isinstance(channel, Series) and os.path.isdir(channel)
            inside = [os.path.relpath(file, channel) for file in files] if folder else []
            whole.update(json.dumps([key, said, inside, [digest(file) for file in files]]).encode())
    return whole.hexdigest()


def _described(source: str | os.PathLike[str] | Series) -> str:
    """What besides the bytes decides how they are read."""
    if isinstance(source, Series):
        numbers = {file: index for index, file in enumerate(dict.fromkeys(source.files))}
        return repr((replace(source, files=()), [numbers[file] for file in source.files]))
    path, volume = split_volume(source)
    name = path if os.path.isdir(path) else "".join(Path(path).suffixes[-2:]).lower()
    return repr((name, volume))


@cache
def _code() -> list[str]:
    """The versions that run, and a hash of the source of this package's `data`, so that a changed transform misses."""
    versions = [f"crossd {__version__}"]
    for name in (*_LIBRARIES, *_CODECS):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} none")
    folder = Path(__file__).parent
    return [*versions, *(digest(file) for file in sorted(folder.rglob("*.py")))]

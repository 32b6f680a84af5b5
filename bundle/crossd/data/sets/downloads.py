"""Official files, checked by their published checksum, downloaded only when asked."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from crossd.errors import CrossDError
from crossd.files import md5

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OfficialFile:
    """A file of a release.

    Attributes:
        url: where it is published.
        name: its name under the root.
        md5: of its bytes.
        licence: of the data.
    """

    url: str
    name: str
    md5: str
    licence: str


def official_file(
    file: OfficialFile, root: str | os.PathLike[str], *, download: bool = False, unverified: bool = False
) -> Path:
    """The path of an official file with the right checksum.

    Args:
        file: what is wanted.
        root: the folder that holds it, or receives it.
        download: get it from its official address where it is not there. Nothing is downloaded otherwise.
        unverified: take a file with another checksum too, for instance one that was saved again; a warning says so.

    Raises:
        CrossDError: the file is not there (the message says where to get it), is another file, or cannot be had.
    """
    from monai.apps.utils import HashCheckError, download_url

    path = Path(root) / file.name
    where = f"Download it from {file.url} (MD5 {file.md5}, {file.licence}) into {root}"
    if path.is_file():
        if (found := md5(path)) == file.md5:
            return path
        if not unverified:
            raise CrossDError(
                f"The official {file.name} has MD5 {file.md5}, {path} has {found}. {where} again, or take it as it is "
                "with --unverified."
            )
        logger.warning("%s is not the official file: its MD5 is %s, not %s.", path, found, file.md5)
        return path
    if not download:
        raise CrossDError(
            f"The official file {file.name} is needed, and {path} does not exist. {where}, or --download."
        )
    try:
        download_url(file.url, path, file.md5, "md5", progress=True)
    except HashCheckError as error:
        raise CrossDError(
            f"The official {file.name} has MD5 {file.md5}, what came from {file.url} has another. Try again later."
        ) from error
    except (URLError, OSError, RuntimeError) as error:
        raise CrossDError(f"{file.name} must be downloaded, {file.url} did not give it ({error}). {where}.") from error
    if not path.is_file():  # MONAI passes over a folder that cannot be written
        raise CrossDError(f"{file.name} must be written, and {root} cannot be. Choose another --root.")
    return path

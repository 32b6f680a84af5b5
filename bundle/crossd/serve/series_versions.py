"""What a series was when it was classified: its files by their content, and the identifiers made from them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from crossd.data.dicom.headers import DICOM_SUFFIXES, DICOMDIR
from crossd.data.dicom.structure import BoundedReader, check_inflated_size
from crossd.files import sha256
from crossd.texts import printable

_TAGS = ["SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID"]

Signature = tuple[int, int, int]


class SeriesKey(NamedTuple):
    """Which series of which study a file belongs to.

    Attributes:
        uid: SeriesInstanceUID (0020,000E).
        digest: of patient, study and series, since careless anonymisation gives one UID to everybody.
    """

    uid: str
    digest: str


@dataclass(frozen=True)
class Version:
    """A series as it lies there now.

    Attributes:
        files: paths with the signature that each had when its content was read.
        digests: SHA-256 of the files' contents, each once.
    """

    key: SeriesKey
    files: tuple[tuple[str, Signature], ...]
    digests: frozenset[str]

    @property
    def identifier(self) -> str:
        """The same wherever the same files lie, under whatever names."""
        return digest_of([self.key.digest, *sorted(self.digests)])

    def unchanged(self) -> bool:
        """Whether the files are still those whose content was read."""
        try:
            return all(signature(os.stat(path)) == before for path, before in self.files)
        except OSError:
            return False


def signature(status: os.stat_result) -> Signature:
    """What changes when a file does: its size, and when content (mtime) and permissions (ctime) were changed."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def digest_of(texts: Iterable[str]) -> str:
    """One hexadecimal SHA-256 of several texts, of which none can pass for another.

    >>> digest_of(["ab", "c"]) == digest_of(["a", "bc"])
    False
    """
    total = hashlib.sha256()
    for text in texts:
        encoded = text.encode(errors="surrogateescape")
        total.update(len(encoded).to_bytes(8, "little") + encoded)
    return total.hexdigest()


def content_digest(path: str) -> str:
    """SHA-256 of a file; of one that cannot be read something that changes with its permissions."""
    try:
        return sha256(path)
    except OSError as error:
        try:
            return f"unreadable {error.errno} {signature(os.stat(path))}"
        except OSError:
            return f"unreadable {error.errno}"


def series_of(path: str) -> tuple[SeriesKey | None, str]:
    """The series that a file says it belongs to, or why it does not say one; neither for what is not DICOM.

    Only whether it can be told is decided here; whether the file is whole, when its series is read.
    """
    from pydicom import dcmread

    suffixed = path.lower().endswith(DICOM_SUFFIXES)
    try:
        with open(path, "rb") as opened:
            if opened.read(132)[128:] != b"DICM" and not suffixed:
                return None, ""
        check_inflated_size(path)
        with BoundedReader(path) as file:
            dataset = dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=suffixed)
        if DICOMDIR in (dataset.get("SOPClassUID"), getattr(dataset, "file_meta", {}).get("MediaStorageSOPClassUID")):
            return None, ""
        uid, study, patient = (str(dataset.get(name) or "") for name in _TAGS[1:])
    except Exception as error:  # pydicom raises whatever the damaged bytes lead it to
        return None, printable(
            f"A DICOM file must have a readable header: '{path}' has not ({error}). Copy it again, or remove it."
        )
    if not uid or not study:
        return None, printable(
            f"A DICOM file must say its study and series (0020,000D and 0020,000E): '{path}' does not. Copy it again, "
            "or remove it."
        )
    return SeriesKey(uid, digest_of([patient, study, uid])), ""

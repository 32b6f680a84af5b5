"""An object that is received: bounded as it arrives, then a file; of two with one name, none is lost."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
import threading
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from crossd.data.dicom.structure import ANY_SIZE, RATIO, end_of_meta
from crossd.files import replaced

UID = re.compile(r"[0-9][0-9.]{0,63}")  # what may become a file name
HEADER = 2**22  # bytes in which the UIDs of an object must stand
IN_MEMORY = 2**20  # bytes of an object that need no file
OUT_OF_RESOURCES, CANNOT_UNDERSTAND, ANOTHER_OBJECT = 0xA700, 0xC000, 0xA900  # PS3.4, table B.2-1
_CHUNK = 2**20


class Arriving(io.BytesIO):
    """A data set in memory while it is small, and in a nameless file of the folder's disk when it is not.

    Writing never fails, since the object is answered for when it has come whole; what is refused is not kept.

    Args:
        folder: for the file; made when it is needed.
        deflated: whether its encoding is, so that what it unpacks to is counted as it comes.

    Attributes:
        size: bytes that came.
        refusal: status and reason, where it cannot be stored.

    >>> arriving = Arriving(Path("/nowhere"), deflated=False)
    >>> arriving.write(b"ab"), arriving.size, arriving.content().read()
    (2, 2, b'ab')
    """

    def __init__(self, folder: Path, deflated: bool) -> None:
        super().__init__()
        self.folder = folder
        self.size = self.unpacked = 0
        self.refusal: tuple[int, str] | None = None
        self._unpacker = zlib.decompressobj(wbits=-zlib.MAX_WBITS) if deflated else None
        self._kept = tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(folder), prefix=".")  # noqa: SIM115

    def write(self, data: Any, /) -> int:
        """Keep what came next."""
        self.size += len(data)
        if self.refusal is None:
            try:
                if self.size - len(data) <= IN_MEMORY < self.size:
                    self.folder.mkdir(parents=True, exist_ok=True)
                self._kept.write(data)
                self._count(data)
            except OSError as error:
                self.refuse(OUT_OF_RESOURCES, error.strerror or type(error).__name__)
            except zlib.error:
                self.refuse(CANNOT_UNDERSTAND, "it is deflated, and damaged")
        return len(data)

    def _count(self, data: bytes) -> None:
        limit = max(ANY_SIZE, RATIO * self.size)
        while self._unpacker is not None and data and not self._unpacker.eof:
            self.unpacked += len(self._unpacker.decompress(data, _CHUNK))
            data = self._unpacker.unconsumed_tail
            if self.unpacked > limit:
                return self.refuse(CANNOT_UNDERSTAND, f"{self.size} bytes of it unpack to more than {limit}")

    def refuse(self, status: int, why: str) -> None:
        """It is not stored; what came of it is let go."""
        self.refusal, self._unpacker = (status, why), None
        self._kept.close()

    def content(self) -> Any:
        """What came, from the beginning."""
        self._kept.seek(0)
        return self._kept

    def close(self) -> None:
        """Let go of it."""
        with suppress(OSError):
            self._kept.close()
        super().close()


class Received:
    """The files `<study>/<series>/<instance>.dcm` below a folder.

    An object with the UID of another one and other content takes its name, as corrections have it; the earlier one is
    kept as `<instance>.earlier-<digest>.dcm`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._locks = [threading.Lock() for _ in range(64)]  # of names, by their hashes: two callers may send the same

    def tidy(self) -> None:
        """Remove what a process that was ended while it wrote has left."""
        for part in self.folder.rglob(".*.dcm.*"):
            part.unlink(missing_ok=True)

    def write(self, instance: str, study: str, series: str, head: bytes, arriving: Arriving) -> bool:
        """Have an object on the disk, whole, unless it is there.

        Args:
            head: what stands before the data set in a file: preamble and meta information (PS3.10, 7.1).

        Returns:
            Whether another object of that UID, with other content, was there.

        Raises:
            OSError: when it cannot be written; what was there is kept.
        """
        path, another = self.folder / study / series / f"{instance}.dcm", False
        with self._locks[hash(path) % len(self._locks)]:
            if path.is_file():
                fresh, known = _digest(arriving.content()), _digest_of(path)
                if fresh == known or _earlier(path, fresh).is_file():
                    return False  # sent again
                another = True
            with replaced(path, shared=True) as part:
                part.write(head)
                shutil.copyfileobj(arriving.content(), part, 2**20)
                if another:
                    os.replace(path, _earlier(path, known))
        return another


def uids_of(data: bytes, syntax: Any) -> tuple[str, str, str, str]:
    """Class, instance, study and series of a data set, read up to the last of them."""
    from pydicom.filereader import read_dataset
    from pydicom.tag import Tag

    if syntax.is_deflated:
        data = zlib.decompressobj(wbits=-zlib.MAX_WBITS).decompress(data, HEADER)
    tags: list[Any] = [Tag(name) for name in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")]
    dataset = read_dataset(
        io.BytesIO(data),
        syntax.is_implicit_VR,
        syntax.is_little_endian,
        stop_when=lambda tag, vr, length: tag > tags[-1],
        specific_tags=tags,
    )
    one, two, three, four = (str(dataset.get(tag).value or "") if tag in dataset else "" for tag in tags)
    return one, two, three, four


def _earlier(path: Path, digest: str) -> Path:
    """Where an object is kept whose name another one has taken; it sorts behind that one."""
    return path.with_name(f"{path.stem}.earlier-{digest[:16]}.dcm")


def _digest(file: Any) -> str:
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _digest_of(path: Path) -> str:
    """That of the data set of a file, without what stands before it, which tells who wrote it."""
    with path.open("rb") as file:
        start = end_of_meta(file.read(2**16))
        file.seek(start)
        return _digest(file)

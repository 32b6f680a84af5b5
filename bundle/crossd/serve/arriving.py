"""An object as it arrives: bounded in memory and in what it unpacks to, before anybody has looked at it."""

from __future__ import annotations

import io
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from crossd.data.dicom.structure import ANY_SIZE, RATIO

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

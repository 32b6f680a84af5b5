"""One connection from elsewhere, which reads nothing that is too long or takes too long."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress

LONGEST_PDU = 2**17  # bytes: what this side announces as the most that it takes (PS3.8, D.1.1)
LONGEST_REQUEST = 2**18  # of an A-ASSOCIATE-RQ: 128 contexts with every encoding there is
WHOLE = 30.0  # seconds for one PDU, and for one answer to be taken
IDLE = 60.0  # seconds in which something must get on
_ENOUGH = 2**14  # bytes that count as getting on
_REQUEST = 1  # the type of an A-ASSOCIATE-RQ


class Peer(socket.socket):
    """A socket that follows the PDUs it carries (PS3.8, 9.3.1): a byte of type, one of nothing, four of length.

    A PDU that declares too much is refused when its first six bytes are there; one that does not end in time, when the
    time is over. Whoever reads asks for the six bytes first and for no more than the rest then, as pynetdicom does.

    Args:
        accepted: is taken over.

    Attributes:
        came: when something came, by `time.monotonic`.
        progress: when something got on: 16 KiB came, or a whole message.
        complain: receives why the connection is ended.
    """

    def __init__(self, accepted: socket.socket, complain: Callable[[str], None]) -> None:
        super().__init__(fileno=accepted.detach())
        self.came = self.progress = time.monotonic()
        self.complain = complain
        self._head, self._left, self._until, self._since = b"", 0, 0.0, 0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """At most so many bytes of the PDU at hand."""
        now = time.monotonic()
        if not self._left and not self._head:
            self._until = now + WHOLE
            if now - self.progress > IDLE:
                raise self._ended(f"less than {_ENOUGH} bytes came in {IDLE:.0f} s")
        if now >= self._until:
            raise self._ended(f"a PDU did not end within {WHOLE:.0f} s")
        self.settimeout(self._until - now)
        try:
            data = super().recv(size, flags)
        except TimeoutError as error:
            raise self._ended(f"a PDU did not end within {WHOLE:.0f} s") from error
        self._follow(data)
        return data

    def _follow(self, data: bytes) -> None:
        self.came, self._since = time.monotonic(), self._since + len(data)
        if self._since >= _ENOUGH:
            self.get_on()
        if self._left:
            self._left -= len(data)
            return
        self._head += data
        if len(self._head) == 6:
            self._left, kind = int.from_bytes(self._head[2:], "big"), self._head[0]
            self._head = b""
            if self._left > (LONGEST_REQUEST if kind == _REQUEST else LONGEST_PDU):
                raise self._ended(f"a PDU must have {LONGEST_PDU} bytes at most, as was agreed")

    def get_on(self) -> None:
        """Something has got on."""
        self.progress, self._since = time.monotonic(), 0

    def send(self, data: bytes, flags: int = 0, /) -> int:  # type: ignore[override]
        """Send what is taken within half a minute."""
        self.settimeout(WHOLE)
        return super().send(data, flags)

    def peek(self, size: int, seconds: float) -> bytes:
        """The next bytes that are there, which stay to be read; none where the other side has closed."""
        self.settimeout(seconds)
        return super().recv(size, socket.MSG_PEEK)

    def skip(self, size: int, seconds: float) -> None:
        """Read and forget so many bytes, or what comes of them within some seconds."""
        end = time.monotonic() + seconds
        with suppress(OSError):
            while size > 0 and (left := end - time.monotonic()) > 0:
                self.settimeout(left)
                data = super().recv(min(size, 2**16))
                if not data:
                    return
                size -= len(data)

    def hang_up(self, last: bytes = b"", how: int = socket.SHUT_RDWR) -> None:
        """Say a last word, if that can be done at once; whoever reads or sends finds the connection closed."""
        with suppress(OSError):
            self.settimeout(0.1)
            self.sendall(last)
        with suppress(OSError):
            self.shutdown(how)

    def _ended(self, why: str) -> OSError:
        self.complain(why)
        return OSError(why)

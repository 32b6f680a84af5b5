"""One association from elsewhere: neither its bytes nor its messages may be too long or take too long."""

from __future__ import annotations

import queue
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_STORE
from pynetdicom.pdu_primitives import P_DATA

from crossd.serve.received import Arriving

LONGEST_PDU = 2**17  # bytes: what this side announces as the most that it takes (PS3.8, D.1.1)
LONGEST_REQUEST = 2**18  # of an A-ASSOCIATE-RQ: 128 contexts with every encoding there is
WHOLE = 30.0  # seconds for one PDU, and for one answer to be taken
IDLE = 60.0  # seconds in which something must get on
_ENOUGH = 2**14  # bytes that count as getting on
_REQUEST = 1  # the type of an A-ASSOCIATE-RQ
LARGEST = 2**32  # bytes of an object: more than an element can have
COMMAND = 2**16  # bytes of a command set, which has a few hundred
UNANSWERED = 2  # requests that may wait for their answers; one is what was agreed
_BUSY, _RESTING = 0.001, 0.02  # seconds between two looks of pynetdicom's threads at their queues


class Peer(socket.socket):
    """A socket that follows the PDUs it carries (PS3.8, 9.3.1): a byte of type, one of nothing, four of length.

    A PDU that declares too much is refused when its first six bytes are there; one that does not end in time, when the
    time is over. Whoever reads asks for the six bytes first and for no more than the rest then, as pynetdicom does.

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


class Messages(DIMSEServiceProvider):
    """Those of one association: C-STORE and C-ECHO. Anything else ends it."""

    def __init__(self, association: Association, peer: Peer, folder: Path) -> None:
        super().__init__(association)
        self.peer = peer
        self.folder = folder

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the fragments of a P-DATA-TF."""
        try:
            for context, data in primitive.presentation_data_value_list:
                self._take(context, data)
        except Exception as error:  # pynetdicom raises whatever the bytes lead it to
            what = str(error) if isinstance(error, _Nonsense) else f"a message cannot be read ({type(error).__name__})"
            self.peer.complain(what)
            self.message = None
            self.dul.event_queue.put("Evt19")  # an invalid PDU: A-ABORT

    def _take(self, context: int, data: bytes) -> None:
        message = self.message = self.message or self._new(context)
        arriving: Any = message.data_set
        if not data[0] & 1 and message.context_id is None:
            raise _Nonsense("a data set came before its command")
        if arriving.size > LARGEST:
            raise _Nonsense(f"an object has more than {LARGEST} bytes")
        if message.encoded_command_set.tell() > COMMAND:
            raise _Nonsense(f"a command has more than {COMMAND} bytes")
        fragment = P_DATA()
        fragment.presentation_data_value_list.append((context, data))
        if not message.decode_msg(fragment, self.assoc):
            return
        self.message = None
        asked = message.message_to_primitive()
        if isinstance(asked, C_CANCEL):
            return
        if not isinstance(asked, (C_STORE, C_ECHO)) or not asked.is_valid_request:
            raise _Nonsense("it asks for what is not done here, which is C-STORE and C-ECHO")
        if self.msg_queue.qsize() >= UNANSWERED:
            raise _Nonsense("it does not wait for answers")
        self.peer.get_on()
        self.msg_queue.put((context, asked))

    def _new(self, context: int) -> DIMSEMessage:
        message = DIMSEMessage()
        accepted = self.assoc._accepted_cx.get(context)
        syntax = accepted.transfer_syntax[0] if accepted is not None and accepted.transfer_syntax else None
        message.data_set = Arriving(self.folder, syntax is not None and syntax.is_deflated)
        return message

    def get_msg(self, block: bool = False) -> Any:
        """The next message; hundreds of pynetdicom's threads must not look for one a thousand times a second each."""
        self.dul._run_loop_delay = _BUSY if time.monotonic() - self.peer.came < 0.1 else _RESTING
        try:
            return self.msg_queue.get(timeout=self.dimse_timeout if block else _RESTING)
        except queue.Empty:
            return None, None


class _Nonsense(Exception):
    """What ends an association."""

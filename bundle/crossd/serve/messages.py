"""What others ask for, message by message: objects to be stored, which are bounded while they come, and echoes."""

from __future__ import annotations

import queue
import time
from pathlib import Path
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, C_ECHO, C_STORE
from pynetdicom.pdu_primitives import P_DATA

from crossd.serve.arriving import Arriving
from crossd.serve.peer import Peer

LARGEST = 2**32  # bytes of an object: more than an element can have
COMMAND = 2**16  # bytes of a command set, which has a few hundred
UNANSWERED = 2  # requests that may wait for their answers; one is what was agreed
_BUSY, _RESTING = 0.001, 0.02  # seconds between two looks of pynetdicom's threads at their queues


class Messages(DIMSEServiceProvider):
    """Those of one association: C-STORE and C-ECHO. Anything else ends it.

    Args:
        peer: told when something got on.
        folder: of the files of large objects.
    """

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

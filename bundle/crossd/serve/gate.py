"""Who may come in: what a connection says first is looked at before anything of it is kept or takes a place."""

from __future__ import annotations

import ipaddress
import logging
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pynetdicom.association import Association
from pynetdicom.transport import AssociationServer, RequestHandler

from crossd.serve.complaints import Complaints
from crossd.serve.peer import LONGEST_REQUEST, Messages, Peer

TO_ASSOCIATE = 10.0  # seconds from the connection to the whole of the titles
PLACES, PLACES_OF_ONE = 160, 128  # associations at once, and of one address
WAITING, WAITING_OF_ONE = 256, 128  # connections that have not asked for an association yet
YIELDS = 5.0  # seconds without progress after which an association gives its place to one that asks
_TITLES = 42  # bytes of a request up to the end of the AE titles (PS3.8, table 9-11)
_REQUEST, _REJECTION, _ABORT = 1, 3, 7
_CALLING, _CALLED, _FULL = (1, 1, 3), (1, 1, 7), (2, 3, 2)  # result, source and reason (PS3.8, table 9-21)

logger = logging.getLogger(__name__)


class Guest(NamedTuple):
    """An association that has a place."""

    association: Association
    peer: Peer
    host: str


class Gate(AssociationServer):
    """Listens; a connection becomes an association when it asks for one in time, by name, and there is a place.

    Until then it costs a descriptor and a sleeping thread. Where there are too many of them, the one that waits longest
    of the address that has most gives way; where there are too many associations, one that is idle.

    Args:
        allowed: AE titles of those who may come in.
        folder: where large objects are put as they arrive.
        complaints: receives why somebody is not let in.
    """

    request_queue_size = 128

    def __init__(
        self,
        ae: Any,
        address: Any,
        ae_title: str,
        contexts: list[Any],
        ssl_context: Any = None,
        *,
        allowed: Sequence[str],
        folder: Path,
        complaints: Complaints,
        evt_handlers: Any,
    ) -> None:
        self.allowed, self.folder, self.complaints = allowed, folder, complaints
        self._lock = threading.Lock()
        self._waiting: dict[Peer, str] = {}
        self._guests: list[Guest] = []
        super().__init__(ae, address, ae_title, contexts, ssl_context, evt_handlers)
        self.RequestHandlerClass = _Handler

    def process_request(self, request: Any, client_address: Any) -> None:
        """Wait for what a connection says, in a thread of its own."""
        host = host_of(client_address[0])
        peer = Peer(request, lambda what: self.complaints.say(host, "closed a connection", what))
        with self._lock:
            self._make_room(host)
            self._waiting[peer] = host
        threading.Thread(target=self._meet, args=(peer, host, client_address), name="gate", daemon=True).start()

    def _make_room(self, host: str = "") -> None:
        """Let go of a connection that has said nothing yet, where there are too many."""
        counts = Counter(self._waiting.values())
        crowd = host if counts[host] >= WAITING_OF_ONE else ""
        if not crowd and counts and (len(self._waiting) >= WAITING or not host):
            crowd = counts.most_common(1)[0][0]
        if crowd:
            oldest = next(peer for peer, of in self._waiting.items() if of == crowd)
            del self._waiting[oldest]
            oldest.hang_up()
            self.complaints.say(crowd, "closed a connection", "it asks for nothing, and many others come")

    def _meet(self, peer: Peer, host: str, address: Any) -> None:
        try:
            head = _first(peer)
            called, calling = (head[at : at + 16].decode("ascii", "replace").strip(" ") for at in (10, 26))
            if calling not in self.allowed:
                self._reject(peer, host, head, _CALLING, "it is not among those of --allow", calling)
            elif called != self.ae_title.strip():
                self._reject(peer, host, head, _CALLED, "it calls another AE title", f"{calling} calls {called}")
            elif not self._let_in(peer, host, address):
                self._reject(peer, host, head, _FULL, "all places are taken, and nobody is idle", calling)
        except _Unwanted as unwanted:
            if str(unwanted):
                self.complaints.say(host, "closed a connection", *unwanted.args)
            peer.hang_up(_pdu(_ABORT, 0, 2, 1) if str(unwanted) else b"")
            peer.close()
        except Exception as error:  # it is gone, say; whatever it is, the others are served
            self.complaints.say(host, "closed a connection", f"it ended ({type(error).__name__})")
            peer.close()
        finally:
            with self._lock:
                self._waiting.pop(peer, None)

    def _let_in(self, peer: Peer, host: str, address: Any) -> bool:
        """Start the association if there is a place, or if one is idle and can be put in its place."""
        with self._lock:
            self._guests = [guest for guest in self._guests if guest.association.is_alive()]
            counts = Counter(guest.host for guest in self._guests)
            full = len(self._guests) >= PLACES and (host if counts[host] else counts.most_common(1)[0][0])
            crowd = host if counts[host] >= PLACES_OF_ONE else full
            if crowd:
                idlest = min(
                    (guest for guest in self._guests if guest.host == crowd), key=lambda one: one.peer.progress
                )
                if time.monotonic() - idlest.peer.progress < YIELDS:
                    return False
                self._guests.remove(idlest)
                idlest.peer.hang_up(_pdu(_ABORT, 0, 2, 0))
                self.complaints.say(crowd, "ended an association", "it was idle, and all places are taken")
            self.finish_request(peer, address)  # type: ignore[arg-type]
            return True

    def enter(self, association: Association, peer: Peer) -> None:
        """An association takes a place."""
        self._guests.append(Guest(association, peer, host_of(association.requestor.address)))

    def _reject(self, peer: Peer, host: str, head: bytes, how: tuple[int, int, int], why: str, titles: str) -> None:
        """Answer by an A-ASSOCIATE-RJ, which arrives only where the whole request was read."""
        self.complaints.say(host, "rejected an association", why, titles)
        peer.skip(6 + int.from_bytes(head[2:6], "big"), TO_ASSOCIATE)
        peer.hang_up(_pdu(_REJECTION, *how), socket.SHUT_WR)
        peer.skip(1, 1.0)  # until the other side has closed it
        peer.close()

    def get_request(self) -> Any:
        """The next connection; where no more files may be open, one that waits is closed."""
        try:
            return super().get_request()
        except OSError:
            with self._lock:
                self._make_room()
            time.sleep(0.05)
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say in a line what would be a traceback."""
        self.complaints.say(host_of(client_address[0]), "closed a connection", "there is no thread for it")

    def service_actions(self) -> None:
        """Nothing: pynetdicom collects garbage here, which takes half a second beside a network, again and again."""

    def shutdown(self) -> None:
        """Close the port and end what is under way."""
        super(AssociationServer, self).shutdown()
        self.server_close()
        with self._lock:
            for peer in [*self._waiting, *(guest.peer for guest in self._guests)]:
                peer.hang_up(_pdu(_ABORT, 0, 2, 0))


class _Handler(RequestHandler):
    """Makes the association of a connection that was let in."""

    server: Gate

    def _create_association(self) -> Association:
        made = super()._create_association()
        peer: Any = self.request
        made.dimse = Messages(made, peer, self.server.folder)
        self.server.enter(made, peer)
        return made


class _Unwanted(Exception):
    """Why a connection is closed before it is an association; without a word where it only closes."""


def _first(peer: Peer) -> bytes:
    """The beginning of what a connection says first, up to the AE titles; it stays to be read."""
    end = time.monotonic() + TO_ASSOCIATE
    while (left := end - time.monotonic()) > 0:
        try:
            head = peer.peek(_TITLES, left)
        except TimeoutError:
            break
        if not head:
            raise _Unwanted  # a health check, say
        if head[0] != _REQUEST:
            raise _Unwanted("what it says first is no DICOM association request")
        length = int.from_bytes(head[2:6], "big")
        if len(head) >= 6 and not _TITLES - 6 <= length <= LONGEST_REQUEST:
            raise _Unwanted(f"its request is no one of {_TITLES} to {LONGEST_REQUEST} bytes", f"{length} bytes")
        if len(head) == _TITLES:
            return head
        time.sleep(0.02)
    raise _Unwanted(f"it asked for no association within {TO_ASSOCIATE:.0f} s")


def _pdu(kind: int, *last: int) -> bytes:
    """An A-ASSOCIATE-RJ or A-ABORT, which differ by their last three bytes (PS3.8, tables 9-21 and 9-26)."""
    return struct.pack(">BBI4B", kind, 0, 4, 0, *last)


def host_of(address: str) -> str:
    """Whom places are counted of: an IPv4 address, or the network of 64 bits that an IPv6 address is of.

    >>> host_of("::ffff:10.0.0.1"), host_of("2001:db8::1:2"), host_of("fe80::1%eth0")
    ('10.0.0.1', '2001:db8::/64', 'fe80::/64')
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(ipaddress.ip_network((found, 64), strict=False)) if not found.is_loopback else str(found)
        found = found.ipv4_mapped
    return str(found)

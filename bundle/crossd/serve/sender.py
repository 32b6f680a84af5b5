"""Waiting reports to one DICOM node by C-STORE, again and again until it accepts them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from crossd.serve.ledger import Ledger
from crossd.serve.nodes import Node
from crossd.serve.outbox import Outbox

FIRST_PAUSE = 1.0  # seconds after the first attempt in vain; each further one doubles it
TIMEOUT = 30.0  # seconds that a node may take for one answer

logger = logging.getLogger(__name__)


class Sender(threading.Thread):
    """A thread that empties the outbox.

    A report is marked as sent when the node has said so. Where the process ends between the two it is sent once more,
    as the very same object.

    Args:
        ae_title: what this side calls itself.
        longest_pause: seconds between attempts, at most.
        lost: called when the file of a waiting report is gone.
    """

    def __init__(
        self,
        ledger: Ledger,
        outbox: Outbox,
        node: Node,
        ae_title: str,
        longest_pause: float = 60.0,
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(name="sender", daemon=True)
        self.ledger = ledger
        self.outbox = outbox
        self.node = node
        self.ae_title = ae_title
        self.longest_pause = longest_pause
        self.lost = lost
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._said = ""  # the last trouble that was logged
        self._in_vain = 0  # attempts to reach the node
        self._refused: dict[str, tuple[int, float]] = {}  # reports: how often, and when to try again

    def wake(self) -> None:
        """Something new waits."""
        self._wake.set()

    def stop(self) -> None:
        """End, once the node has answered what is under way."""
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        """Send until stopped."""
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                pause = self.deliver()
            except Exception as error:  # the ledger cannot be written, say; what waits goes on waiting
                self._complain(f"{type(error).__name__}: {error}")
                pause = self.longest_pause
            if self._in_vain:  # what is new meanwhile waits too
                self._stopping.wait(pause)
            else:
                self._wake.wait(pause)

    def deliver(self) -> float | None:
        """Send what waits, once. Returns the seconds until the next attempt, None when nothing waits."""
        now = time.monotonic()
        waiting = self.ledger.waiting()
        due = [uid for uid in waiting if self._refused.get(uid, (0, 0.0))[1] <= now]
        if due:
            trouble = self._send(due)
            self._in_vain = self._in_vain + 1 if trouble else 0
            if trouble:
                self._complain(trouble)
                self.ledger.not_sent(due, trouble)
                return self._pause(self._in_vain)
            if not any(uid in self._refused for uid in due):
                self._said = ""
        left = [self._refused[uid][1] - time.monotonic() for uid in self.ledger.waiting() if uid in self._refused]
        return max(min(left), 0.0) if left else None

    def _pause(self, times: int) -> float:
        return min(FIRST_PAUSE * 2 ** min(times - 1, 30), self.longest_pause)

    def _send(self, uids: list[str]) -> str:
        """Send reports over one association; returns what was wrong with it, if anything."""
        from pynetdicom import AE
        from pynetdicom.sop_class import ComprehensiveSRStorage  # type: ignore[attr-defined]

        entity = AE(ae_title=self.ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT
        entity.connection_timeout = min(TIMEOUT, 10.0)
        entity.add_requested_context(ComprehensiveSRStorage)
        association = entity.associate(self.node.host, self.node.port, ae_title=self.node.ae_title)
        try:
            if not association.is_established:
                return self._why(association)
            for uid in uids:
                if self._stopping.is_set():
                    break
                if trouble := self._send_one(association, uid):
                    return trouble
            return ""
        finally:
            if association.is_established:
                association.release()

    def _send_one(self, association: Any, uid: str) -> str:
        from pydicom import dcmread

        try:
            report = dcmread(self.outbox.path(uid))
        except FileNotFoundError:
            logger.error("report %s is gone from the outbox: its series is classified again", uid)
            self.ledger.revoke(uid)
            self.lost()
            return ""
        except Exception as error:  # pydicom raises whatever damaged bytes lead it to; the others are sent
            self._later(uid, f"a report in the outbox cannot be read ({type(error).__name__})")
            return ""
        try:
            answer = association.send_c_store(report)
        except (ValueError, RuntimeError) as error:  # no such context, or the association is gone
            return f"{self.node} takes no Comprehensive SR, or went away ({error})"
        if "Status" not in answer:
            return f"{self.node} gave no answer to a report"
        status = int(answer.Status)
        if status == 0 or 0xB000 <= status <= 0xBFFF:  # a warning: stored, elements coerced (PS3.4, table B.2-1)
            self._mark(uid, "" if status == 0 else f"accepted with warning 0x{status:04X}")
        else:
            self._later(uid, f"{self.node} refused a report with status 0x{status:04X}")
        return ""

    def _later(self, uid: str, trouble: str) -> None:
        times = self._refused.get(uid, (0, 0.0))[0] + 1
        self._refused[uid] = times, time.monotonic() + self._pause(times)
        self._complain(f"{trouble} ({uid})")
        self.ledger.not_sent([uid], trouble)

    def _mark(self, uid: str, note: str) -> None:
        self.ledger.sent(uid, note)
        self._refused.pop(uid, None)
        logger.info("report %s accepted by %s%s", uid, self.node, f" ({note})" if note else "")
        try:
            self.outbox.sent(uid)
        except OSError as error:  # the next start moves it
            logger.error("report %s stays in the outbox (%s), though it was accepted", uid, error.strerror)

    def _why(self, association: Any) -> str:
        if association.is_rejected:
            said = association.acceptor.primitive
            return (
                f"{self.node} rejects the association ({said.reason_str}): it must know this side as AE title "
                f"{self.ae_title}, and itself be called {self.node.ae_title}"
            )
        return f"{self.node} cannot be reached, or ends the association: is it running, and are host and port right?"

    def _complain(self, trouble: str) -> None:
        if trouble != self._said:
            logger.warning("%s; trying again until it is accepted", trouble)
        self._said = trouble

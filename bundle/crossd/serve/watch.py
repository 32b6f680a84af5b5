"""Watch a folder: classify each series once it is complete, and send its report until it is accepted."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossd.data.dicom.selection import SeriesFilter
from crossd.errors import CrossDError
from crossd.files import lock
from crossd.inference import Case
from crossd.serve.bundle_inference import prepare_inference
from crossd.serve.desk import Desk
from crossd.serve.folder import Folder
from crossd.serve.ledger import Ledger
from crossd.serve.nodes import Node
from crossd.serve.outbox import Outbox
from crossd.serve.receiver import Receiver
from crossd.serve.sender import Sender

STATE = ".crossd-watch"  # hidden, so that what is in it is nobody's series
LEDGER = "journal.sqlite"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How to watch.

    Attributes:
        folder: what is watched, with all folders below it.
        node: where reports go.
        bundle: root of the bundle whose `configs/inference.json` classifies.
        state: ledger and reports; `folder/.crossd-watch` by default.
        ae_title: what this side calls itself when it sends.
        listen: AE title, address and port to receive at; None: no port is opened.
        allow: AE titles of those who may send to it.
        quiet: seconds for which no file of a series may come or change before it counts as complete.
        poll: seconds between two looks at the folder.
        longest_pause: seconds between two attempts to send, at most.
        once: end when all that is there has been tried.
        weights, series, tilt, backend: options of the configuration; None: as it has them.
    """

    folder: Path
    node: Node
    bundle: Path
    state: Path | None = None
    ae_title: str = "CROSSD"
    listen: Node | None = None
    allow: Sequence[str] = ()
    quiet: float = 30.0
    poll: float = 2.0
    longest_pause: float = 60.0
    once: bool = False
    weights: str | None = None
    series: str | Sequence[str] | None = None
    tilt: str | None = None
    backend: str | None = None


def watch(settings: Settings, stop: threading.Event | None = None) -> int:
    """Watch until told to stop.

    Returns:
        How many series have no answer and reports no receiver; 0 when all is done.

    Raises:
        CrossDError: when it cannot start: no folder, another watcher, no bundle or weights, nobody allowed to send.
    """
    if importlib.util.find_spec("pynetdicom") is None:
        raise CrossDError('Reports are sent by pynetdicom, which is not installed. `pip install "crossd[serve]"`.')
    SeriesFilter(settings.series)  # refuses what is none
    folder, stop = settings.folder.absolute(), stop or threading.Event()
    receiver = settings.listen and Receiver(settings.listen, settings.allow, folder / "received")
    state = make_state(folder, settings.state)
    with _alone(folder), _alone(state):
        ledger = Ledger(state / LEDGER)
        work = state / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        options: dict[str, Any] = {name: getattr(settings, name) for name in ("weights", "series", "tilt", "backend")}
        inference = prepare_inference(settings.bundle.absolute(), work, **options)
        outbox = Outbox(state, inference.model)
        outbox.tidy(ledger)
        watched = Folder(folder, settings.quiet, ledger)
        desk = Desk(watched, ledger, outbox, inference, stop, settings.poll, settings.series, settings.once)
        sender = Sender(ledger, outbox, settings.node, settings.ae_title, settings.longest_pause, lost=desk.lost.set)
        desk.answered = sender.wake

        def cases() -> Iterator[list[Case]]:
            """From when the weights are loaded."""
            if receiver:
                receiver.start()
            if not settings.once:
                sender.start()
            logger.info("watching; reports go to %s", settings.node)
            yield from desk

        try:
            desk.attach(inference.evaluator)
            inference.evaluator.data_loader = cases()
            inference.evaluator.run()
            if settings.once:
                sender.deliver()
            return ledger.unfinished()
        finally:
            if receiver:
                receiver.stop()
            sender.stop()
            if sender.is_alive():
                sender.join(10)
            ledger.close()
            shutil.rmtree(work, ignore_errors=True)
            logger.info("ended")


def _alone(folder: Path) -> ExitStack:
    """Hold a folder against a second watcher."""
    try:
        return lock(folder)
    except BlockingIOError as error:
        raise CrossDError(
            f"One watcher works on a folder at a time: '{folder}' is held by another process. End that one, or watch "
            "another folder with a state folder of its own (--state)."
        ) from error


def make_state(folder: Path, state: Path | None = None) -> Path:
    """The state folder of a watched folder, made when it is not there, readable for its owner only.

    Raises:
        CrossDError: when the watched folder is none, or the state folder cannot be made.
    """
    if not folder.is_dir():
        raise CrossDError(f"A watcher needs a folder to watch: '{folder}' is none. Make it, or correct the path.")
    state = (state or folder / STATE).absolute()
    if _is_watched(state, folder) or _is_watched(state.resolve(), folder.resolve()):  # links and ".." lead there too
        raise CrossDError(
            f"What a watcher writes must not be watched: the state folder '{state}' lies in the watched one. Pass one "
            "outside of it, or whose name begins with a dot."
        )
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(state, os.W_OK | os.X_OK)
    except OSError as error:
        writable, why = False, error.strerror
    else:
        why = "it may not be written"
    if not writable:
        raise CrossDError(
            f"A watcher keeps its journal and reports in a folder that it can write: '{state}' is none ({why}). Pass "
            "another by --state."
        )
    return state


def _is_watched(state: Path, folder: Path) -> bool:
    return state == folder or (folder in state.parents and state.relative_to(folder).parts[0][0] != ".")

"""`crossd watch` under many senders: what it kept of what it accepted, and its memory from minute to minute."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError

from scripts.benchmarks.many_cases.cases import make_model
from scripts.benchmarks.many_cases.watch import resident
from scripts.benchmarks.receiving.senders import TITLE, Senders, pixels_of

WARM = 120.0  # seconds after which everything that a first series needs is loaded
BOUND = 0.10  # of the memory then, that it may grow


def measure(
    root: Path, folder: Path, senders: int, minutes: float, pause: float, port: int, say: Any
) -> dict[str, Any]:
    """Run it.

    Args:
        root: of the bundle.
        folder: to work in, empty.
        senders: associations at once.
        minutes: how long.
        pause: seconds between two objects of one of them.
        port: of the receiver; the next one is that of the node that takes the reports.
        say: receives a line a minute.

    Returns:
        JSON-able: objects accepted, lost and changed, series without an answer, reports that nobody has, MB by minute.
    """
    make_model(folder / "model.pt", root / "configs" / "metadata.json")
    incoming = folder / "incoming"
    incoming.mkdir()
    sink, reports = _sink(port + 1)
    watcher = subprocess.Popen(
        [
            *(sys.executable, "-m", "crossd.cli", "watch", str(incoming), "--weights", str(folder / "model.pt")),
            *("--send", f"SINK@127.0.0.1:{port + 1}", "--listen", f"CROSSD@127.0.0.1:{port}", "--allow", TITLE),
            *("--quiet", "10", "--backend", "eager", "--bundle_root", str(root)),
        ],
        stderr=(folder / "log").open("w"),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        _wait(lambda: "listening as" in (folder / "log").read_text(), 300)
        sending, start, course = Senders(port, senders, pause=pause), time.monotonic(), []
        while (passed := time.monotonic() - start) < 60 * minutes:
            time.sleep(min(15.0, 60 * minutes - passed))
            course.append((round(time.monotonic() - start), round(resident(watcher.pid)[0], 1)))
            say(f"{course[-1][0]} s: {len(sending.accepted)} objects, {sending.open} associations, {course[-1][1]} MB")
        sending.stop()
        series = {name for name, _ in sending.accepted}
        state = incoming / ".crossd-watch" / "journal.sqlite"
        _wait(lambda: _answered(state) >= len(series) and len(set(reports)) >= len(series), 1800)
    finally:
        watcher.terminate()
        watcher.wait(60)
        sink.shutdown()
    lost, changed = _compare(incoming / "received", sending.accepted)
    warm = next((memory for second, memory in course if second >= WARM), course[0][1])
    return {
        "minutes": minutes,
        "at_once": sending.most,
        "associations": sending.counts["associations"],
        "others": {name: count for name, count in sending.counts.items() if name != "associations"},
        "accepted": len(sending.accepted),
        "lost": lost,
        "changed": changed,
        "series": len(series),
        "answered": _answered(state),
        "reports": len(set(reports)),
        "mb_warm": warm,
        "mb_most_after": max(memory for second, memory in course if second >= WARM or memory == warm),
        "course": course,
        "exit_code": watcher.returncode,
    }


def holds(found: dict[str, Any]) -> bool:
    """Whether nothing was lost and memory stayed."""
    whole = found["answered"] == found["series"] <= found["reports"] and not found["lost"] + found["changed"]
    return whole and found["mb_most_after"] <= (1 + BOUND) * found["mb_warm"] and found["exit_code"] == 0


def table(found: dict[str, Any]) -> str:
    """Markdown, a row for each figure."""
    others = ", ".join(f"{count} {name}" for name, count in found["others"].items()) or "none"
    memory = [f"{second // 60} min {mb:.0f}" for second, mb in found["course"] if second % 120 < 15]
    rows = {
        "at once, for": f"{found['at_once']} associations, {found['minutes']:g} minutes",
        "associations, series, objects accepted": f"{found['associations']}, {found['series']}, {found['accepted']}",
        "objects lost, objects changed": f"{found['lost']}, {found['changed']}",
        "series answered": f"{found['answered']}",
        "reports delivered (a second one where a sender paused for 10 s)": f"{found['reports']}",
        "rejected, ended, or another status": others,
        "MB resident": ", ".join(memory),
        "most MB after the second minute, as a part of those then": (
            f"{found['mb_most_after'] / found['mb_warm']:.3f} (bound: {1 + BOUND:.2f})"
        ),
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _sink(port: int) -> tuple[Any, list[str]]:
    """A node that takes every report."""
    from pynetdicom import AE, evt
    from pynetdicom.sop_class import ComprehensiveSRStorage  # type: ignore[attr-defined]

    reports: list[str] = []
    entity = AE(ae_title="SINK")
    entity.add_supported_context(ComprehensiveSRStorage)

    def take(event: Any) -> int:
        reports.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    return entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, take)]), reports


def _answered(state: Path) -> int:
    with sqlite3.connect(f"file:{state}?mode=ro", uri=True) as ledger:
        return int(
            ledger.execute("SELECT COUNT(DISTINCT series) FROM versions WHERE state = 'classified'").fetchone()[0]
        )


def _compare(received: Path, accepted: list[tuple[str, int]]) -> tuple[int, int]:
    """How many accepted objects are not there, and how many have other pixels."""
    from pydicom import dcmread

    lost = changed = 0
    for series, number in accepted:
        path = received / f"{series}.0" / series / f"{series}.{number + 1}.dcm"
        if not path.is_file():
            lost += 1
        elif dcmread(path).PixelData != pixels_of(series, number):
            changed += 1
    return lost, changed


def _wait(true: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise CrossDError(f"The watcher must get on, has not within {seconds:.0f} s. See its log.")
        time.sleep(1)

"""`crossd watch`: the inference of the bundle on DICOM series as they arrive."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
import time
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

from crossd.bundle import own_root
from crossd.cli.help import add_command, say
from crossd.errors import CrossDError
from crossd.serve import LEDGER, Ledger, Settings, make_state, parse_node, watch
from crossd.serve.nodes import check_ae_title

ABOUT = "classify DICOM series as they arrive in a folder, and send the Structured Reports to a DICOM node"
EXAMPLES = """
    crossd watch /data/incoming --send ORTHANC@127.0.0.1:4242
    crossd watch /data/incoming --send ORTHANC@127.0.0.1:4242 --listen CROSSD@:11112 --allow ORTHANC
    crossd watch /data/incoming --status"""


def add_watch(commands: Any) -> None:
    """Add the command.

    Args:
        commands: what `ArgumentParser.add_subparsers` returned.
    """
    parser = add_command(commands, "watch", ABOUT, EXAMPLES)
    _add_arguments(parser)
    parser.set_defaults(run=_run)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `crossd watch`."""
    parser.add_argument("folder", type=Path, help="watched with all folders below it")
    parser.add_argument("--send", metavar="AE@HOST:PORT", help="DICOM node that takes the reports")
    parser.add_argument("--ae_title", default="CROSSD", help="of this side when it sends; default: %(default)s")
    parser.add_argument(
        "--listen", metavar="AE@[HOST]:PORT", help="receive series here too; HOST is loopback by default"
    )
    parser.add_argument("--allow", nargs="+", default=[], metavar="AE", help="AE titles that may send to --listen")
    parser.add_argument("--quiet", type=float, default=30, help="seconds without change that make a series complete")
    parser.add_argument("--poll", type=float, default=2, help="seconds between two looks at the folder")
    parser.add_argument("--retry", type=float, default=60, help="seconds between attempts to send, at most")
    parser.add_argument("--state", type=Path, help="journal and reports; default: FOLDER/.crossd-watch")
    parser.add_argument("--bundle_root", type=Path, help="root of the bundle; default: the one this package is in")
    parser.add_argument("--weights", help="another model than the bundle's own")
    parser.add_argument("--series", nargs="+", help="which series: description, modality, number or UID")
    parser.add_argument("--tilt", choices=("correct", "refuse"), help="of a tilted gantry")
    parser.add_argument("--backend", help="as of configs/inference.json")
    parser.add_argument("--once", action="store_true", help="end when all that is there has been tried")
    parser.add_argument(
        "--status", action="store_true", help="print what was done and what waits, with files and reasons"
    )


def _run(arguments: argparse.Namespace) -> int:
    """Watch until SIGTERM or Ctrl-C; a second one ends at once."""
    if arguments.status:
        return _status(make_state(arguments.folder.absolute(), arguments.state) / LEDGER)
    if arguments.send is None:
        raise CrossDError(
            "A watcher needs somebody to send reports to: no node was given. Example: --send ORTHANC@:4242."
        )
    for name in ("quiet", "poll", "retry"):
        if not getattr(arguments, name) > 0:
            raise CrossDError(f"--{name} must be seconds above 0, got {getattr(arguments, name)}. Example: --{name} 5.")
    settings = Settings(
        folder=arguments.folder,
        node=parse_node(arguments.send),
        bundle=arguments.bundle_root or own_root(),
        state=arguments.state,
        ae_title=check_ae_title(arguments.ae_title, "--ae_title"),
        listen=parse_node(arguments.listen, "--listen") if arguments.listen else None,
        allow=tuple(arguments.allow),
        quiet=arguments.quiet,
        poll=arguments.poll,
        longest_pause=arguments.retry,
        once=arguments.once,
        **{name: getattr(arguments, name) for name in ("weights", "series", "tilt", "backend")},
    )
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for name in ("pydicom", "highdicom", "pynetdicom"):  # their messages may quote headers, names of patients among it
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for name in ("StructuredReports", "SupervisedEvaluator", "monai.bundle.workflows"):  # what they say is said here
        logging.getLogger(name).setLevel(logging.ERROR)
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    unfinished = watch(settings, stop)
    return 2 if arguments.once and unfinished else 0


def _status(path: Path) -> int:
    if not path.is_file():
        raise CrossDError(f"A folder has a status once it was watched: '{path}' is not there. Start the watcher first.")
    ledger = Ledger(path)
    for version in ledger.versions():
        number = f", version {version['number']}" if version["number"] else ""
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(version["time"]))
        say(f"{when}  series {version['uid']}{number}: {version['state']}  {version['reason']}")
        for report in ledger.reports(version["id"]):
            answer = ", ".join(f"{name} {value:.3f}" for name, value in report["answer"]["probabilities"].items())
            attempts = f", {report['attempts']} attempts" if report["attempts"] else ""
            say(f"    {report['volume'] or 'volume'}: {answer}")
            say(f"    report {report['uid']}: {report['state']}{attempts}  {report['reason']}")
    for file in ledger.files():
        if file.problem:
            say(file.problem)
    say(f"{len(ledger.waiting())} reports wait to be sent")
    ledger.close()
    return 0

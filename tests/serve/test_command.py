"""Law: `crossd watch` does what the library does, ends cleanly, and tells rule, value and remedy in one line."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys

import pytest
from crossd.cli import main
from crossd.serve import LEDGER, Ledger, Settings, watch
from crossd.version import __version__

from .made import PATIENT, make_series, until


@pytest.fixture(autouse=True)
def levels():
    """What the command silences in its process, other tests listen to."""
    names = ("pydicom", "highdicom", "pynetdicom", "StructuredReports", "SupervisedEvaluator", "monai.bundle.workflows")
    before = {name: logging.getLogger(name).level for name in names}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


def command(*arguments):
    return [sys.executable, "-m", "crossd.cli", "watch", *map(str, arguments)]


@pytest.mark.slow
def test_from_the_command_line_until_sigterm(incoming, sink, weights, tmp_path):
    make_series(incoming / PATIENT, seed=0)
    make_series(incoming / "damaged", seed=1)[0].write_bytes(b"")
    log = (tmp_path / "log").open("w+")
    running = subprocess.Popen(
        command(incoming, "--send", sink.node, "--weights", weights, "--quiet", "0.3", "--poll", "0.1"),
        stdout=log,
        stderr=log,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        until(lambda: running.poll() is not None or "accepted by SINK" in (tmp_path / "log").read_text(), 120)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 0
    finally:
        running.kill()
        log.close()
    said = (tmp_path / "log").read_text()
    assert re.search(r"INFO series [\d.]+, version 1: (healthy|aneurysm); report [\d.]+\n", said)
    assert said.endswith("INFO ended\n")
    assert "Traceback" not in said
    assert PATIENT not in said
    assert len(sink.received) == 1


def test_status(settings, incoming, capsys):
    make_series(incoming / "a", seed=0)
    files = make_series(incoming / "b", seed=1)
    files[0].write_bytes(files[0].read_bytes()[:-9])
    (incoming / "alone.dcm").write_bytes(b"")
    assert watch(settings) == 2
    capsys.readouterr()
    assert main(["watch", str(incoming), "--status"]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"series [\d.]+498\.1, version 1: classified\n    volume: healthy 0\.\d{3}, aneurysm 0\.\d{3}\n", said
    )
    assert re.search(r"    report [\d.]+: sent, 1 attempts\n", said)
    assert re.search(rf"498\.2: failed  .*'{re.escape(str(files[0]))}'", said)
    assert f"'{incoming / 'alone.dcm'}' does not" in said
    assert said.endswith("0 reports wait to be sent\n")


def test_what_is_gone_does_not_count_any_more(settings, incoming):
    files = make_series(incoming / "b", seed=1)
    files[0].write_bytes(files[0].read_bytes()[:-9])
    assert watch(settings) == 1
    for file in files:
        file.unlink()
    assert watch(settings) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], r"error: A watcher needs somebody to send reports to: no node was given. Example: --send ORTHANC@:4242"),
        (["--send", "ORTHANC"], r"error: A DICOM node must be AE@host:port .* got --send 'ORTHANC'. Example"),
        (
            ["--send", "A@:1", "--listen", "B@:2"],
            r"error: A listener must know who may send to it: B@127.0.0.1:2 has no",
        ),
        (["--send", "A@:1", "--ae_title", "\\"], r"error: An AE title must have 1 to 16 .* got --ae_title '\\\\'"),
        (["--send", "A@:1", "--quiet", "0"], r"error: --quiet must be seconds above 0, got 0.0. Example: --quiet 5."),
        (["--status"], r"error: A folder has a status once it was watched: '.*journal.sqlite' is not there. Start"),
    ],
)
def test_refusals(incoming, capsys, options, message):
    assert main(["watch", str(incoming), *options]) == 1
    assert re.match(message, capsys.readouterr().err)
    assert not (incoming / ".crossd-watch" / LEDGER).exists()


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"crossd {__version__}\n"


def test_other_errors_are_not_hidden(incoming, monkeypatch):
    monkeypatch.setattr(Ledger, "__init__", lambda self, path: exec("raise RuntimeError('a mistake')"))
    (incoming / ".crossd-watch").mkdir()
    (incoming / ".crossd-watch" / LEDGER).touch()
    with pytest.raises(RuntimeError, match="a mistake"):
        main(["watch", str(incoming), "--status"])


def test_the_options_have_the_defaults_of_the_library(monkeypatch, incoming):
    from crossd.cli import watching as module

    given = []
    monkeypatch.setattr(module, "watch", lambda settings, stop: given.append(settings) or 0)
    monkeypatch.setattr(module.signal, "signal", lambda *arguments: None)
    assert main(["watch", str(incoming), "--send", "A@:1"]) == 0
    (settings,) = given
    assert settings == Settings(incoming, settings.node, settings.bundle)
    assert (settings.bundle / "configs" / "inference.json").is_file()

"""End to end with a real Orthanc on loopback: series stored there get their report there, whoever is down meanwhile."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from crossd.serve import LEDGER, Ledger
from pydicom import dcmread

from .made import CARD, ROOT, make_series, until

PROGRAM = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="Orthanc is not installed: apt-get install orthanc")
PAGE = (ROOT / "docs" / "guide" / "watch.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for found in sockets:
        found.bind(("127.0.0.1", 0))
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports


class Orthanc:
    """A process of its own in a folder of its own, by the configuration that the guide shows."""

    def __init__(self, folder, lua):
        folder.mkdir()
        self.dicom, self.http, self.listener = free_ports(3)
        config = json.loads(blocks("json")[0])
        assert (config["DicomAet"], config["DicomAlwaysAllowStore"]) == ("ORTHANC", False)
        (folder / "crossd.lua").write_text(lua)
        config["DicomModalities"]["crossd"]["Port"] = self.listener
        config |= {"DicomPort": self.dicom, "HttpPort": self.http, "LuaScripts": [str(folder / "crossd.lua")]}
        config |= {"StableAge": 1, "StorageDirectory": str(folder), "IndexDirectory": str(folder), "Plugins": []}
        (folder / "orthanc.json").write_text(json.dumps(config))
        self.folder = folder
        self.process = None

    def start(self):
        log = (self.folder / "orthanc.log").open("a")
        self.process = subprocess.Popen([PROGRAM, str(self.folder / "orthanc.json")], stdout=log, stderr=log)
        log.close()
        until(self.answers)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def answers(self):
        assert self.process.poll() is None, (self.folder / "orthanc.log").read_text()[-2000:]
        try:
            return self.rest("/system")["DicomAet"] == "ORTHANC"
        except urllib.error.URLError:
            return False

    def rest(self, path, content=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", content)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def store(self, files):
        for file in files:
            self.rest("/instances", file.read_bytes())

    def reports(self):
        """Of each study the reports in it: their SOPInstanceUIDs."""
        found = {}
        for study in self.rest("/studies"):
            series = [self.rest(f"/series/{name}") for name in self.rest(f"/studies/{study}")["Series"]]
            instances = [
                name for one in series if one["MainDicomTags"]["Modality"] == "SR" for name in one["Instances"]
            ]
            uids = [self.rest(f"/instances/{name}")["MainDicomTags"]["SOPInstanceUID"] for name in instances]
            found[self.rest(f"/studies/{study}")["MainDicomTags"]["StudyInstanceUID"]] = uids
        return found


class Watcher:
    """`crossd watch` as a process, by one of the commands that the guide shows."""

    def __init__(self, number, incoming, orthanc, weights, *options):
        self.log = incoming.parent / f"watch-{time.monotonic_ns()}.log"
        shown = blocks("sh")[number].replace("/data/incoming", str(incoming))
        shown = shown.replace(":4242", f":{orthanc.dicom}").replace(":11112", f":{orthanc.listener}")
        program, *arguments = shown.split()
        assert program == "crossd"
        more = ["--weights", str(weights), "--backend", "eager", "--quiet", "1", "--poll", "0.2", "--retry", "2"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "crossd.cli", *arguments, *more, *options],
                stdout=log,
                stderr=log,
                cwd=incoming.parent,
            )

    def says(self, text):
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return text in self.log.read_text()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(60)


@pytest.fixture
def start(tmp_path, incoming, weights):
    """Orthanc with one of the scripts of the guide, and watchers; all ended after the test."""
    started = []
    ways = []

    def start_orthanc(way):
        ways.append(way)
        orthanc = Orthanc(tmp_path / "orthanc", blocks("lua")[way].replace("/data/incoming/", f"{incoming}/"))
        started.append(orthanc.stop)
        orthanc.start()
        return orthanc

    def start_watcher(orthanc, *options):
        watcher = Watcher(ways[0], incoming, orthanc, weights, *options)
        started.append(watcher.process.kill)
        return watcher

    yield start_orthanc, start_watcher
    for stop in started:
        stop()


def study_of(files):
    return dcmread(files[0]).StudyInstanceUID


def settled(orthanc):
    """Whether each study has one report; and that it stays so."""
    return all(len(uids) == 1 for uids in orthanc.reports().values())


BY_FOLDER, BY_NETWORK = 0, 1


@pytest.mark.slow
def test_by_network_series_come_and_reports_go_back(start, tmp_path, incoming):
    start_orthanc, start_watcher = start
    orthanc = start_orthanc(BY_NETWORK)
    watcher = start_watcher(orthanc)
    until(lambda: watcher.says("listening as CROSSD@127.0.0.1"))
    studies = {}
    for seed in range(2):
        files = make_series(tmp_path / "made" / str(seed), seed=seed)
        studies[study_of(files)] = files
        orthanc.store(files)
    until(lambda: list(map(len, orthanc.reports().values())) == [1, 1], 120)
    assert set(orthanc.reports()) == set(studies)
    received = {dcmread(file).SOPInstanceUID for file in (incoming / "received").rglob("*.dcm")}
    assert received == {dcmread(file).SOPInstanceUID for files in studies.values() for file in files}
    series = orthanc.rest("/tools/lookup", dcmread(files[0]).SeriesInstanceUID.encode())[0]["ID"]
    orthanc.rest("/modalities/crossd/store", series.encode())  # sent again, as the guide shows
    time.sleep(5)  # and our own reports have become stable in Orthanc too, and are not sent to us
    assert settled(orthanc)
    assert watcher.end() == 0
    assert "Hildegardsdottir" not in watcher.log.read_text()
    (uid,) = orthanc.reports()[study_of(files)]
    ledger = Ledger(incoming / ".crossd-watch" / LEDGER)
    assert uid in {report["uid"] for version in ledger.versions() for report in ledger.reports(version["id"])}
    assert set(CARD["class_names"]) == set(ledger.reports(ledger.versions()[0]["id"])[0]["answer"]["probabilities"])
    ledger.close()


@pytest.mark.slow
def test_by_folder_while_first_orthanc_and_then_the_watcher_is_down(start, tmp_path, incoming):
    start_orthanc, start_watcher = start
    orthanc = start_orthanc(BY_FOLDER)
    files = make_series(tmp_path / "made" / "0", seed=0)
    orthanc.store(files)  # nobody watches yet
    until(
        lambda: len(list(incoming.glob("*.dcm"))) == len(files), 30
    )  # it writes them after it has said that it has them
    orthanc.stop()
    watcher = start_watcher(orthanc)
    until(lambda: watcher.says("cannot be reached"), 120)
    assert watcher.end(signal.SIGKILL) == -signal.SIGKILL
    assert len(list((incoming / ".crossd-watch" / "outbox").glob("*.dcm"))) == 1
    orthanc.start()
    orthanc.store(make_series(tmp_path / "made" / "1", seed=1))
    watcher = start_watcher(orthanc)
    until(lambda: list(map(len, orthanc.reports().values())) == [1, 1], 120)
    orthanc.stop()
    orthanc.start()
    orthanc.store(make_series(tmp_path / "made" / "2", seed=2))
    until(lambda: list(map(len, orthanc.reports().values())) == [1, 1, 1], 120)
    time.sleep(3)
    assert settled(orthanc)
    assert watcher.end() == 0


@pytest.mark.slow
def test_orthanc_knows_its_callers(start, tmp_path, incoming):
    start_orthanc, start_watcher = start
    orthanc = start_orthanc(BY_FOLDER)
    orthanc.store(make_series(tmp_path / "made", seed=0))
    stranger = start_watcher(orthanc, "--ae_title", "STRANGER")
    until(lambda: stranger.says("; trying again until it is accepted"), 120)
    assert stranger.end() == 0
    assert list(map(len, orthanc.reports().values())) == [0]
    start_watcher(orthanc)
    until(lambda: settled(orthanc), 120)

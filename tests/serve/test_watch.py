"""Laws of the watcher: one report for each version of each series, whatever else lies there and whatever goes wrong."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from crossd.checkpoints import save_checkpoint
from crossd.errors import CrossDError
from crossd.inference import network_from_card, structured_reports
from crossd.serve import LEDGER, Ledger, outbox, watch
from pydicom import dcmread
from pydicom.uid import generate_uid

from ..configs import csv_rows, run
from .made import CARD, PATIENT, make_series, until


def ledger_of(settings):
    return Ledger(settings.folder / ".crossd-watch" / LEDGER)


def states(settings):
    ledger = ledger_of(settings)
    found = {version["uid"][-2:]: version["state"] for version in ledger.versions()}
    ledger.close()
    return found


def evidence(report):
    """The images that a report is about."""
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    return series.SeriesInstanceUID, {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence}


def probabilities(report):
    group = [item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning.startswith("Imag")]
    found = {}
    for measured in group[0].ContentSequence:
        parts = {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in measured.ContentSequence}
        name = parts["Finding"].ConceptCodeSequence[0].CodeMeaning
        found[name] = float(parts["Probability"].MeasuredValueSequence[0].NumericValue)
    return found


def bundle_run(tmp_path, images, weights):
    options = {"weights": weights, "backend": "eager", "report": False}
    run("inference", images=images, output_dir=tmp_path / "run", **options)
    return csv_rows(tmp_path / "run" / "predictions.csv")


def test_each_series_gets_the_report_that_a_run_of_the_bundle_gives(
    settings, sink, incoming, tmp_path, weights, caplog
):
    first, second = make_series(incoming / "a", seed=0), make_series(incoming / "b" / "c", seed=1, slices=4)
    (incoming / "notes.txt").write_text("not DICOM")
    (incoming / "b" / "image.nii.gz").write_bytes(b"not DICOM either")
    rows = bundle_run(tmp_path, incoming / "a", weights) + bundle_run(tmp_path, incoming / "b" / "c", weights)
    with caplog.at_level(logging.INFO):
        assert watch(settings) == 0
    reports = [dataset for times in sink.received.values() for dataset in times]
    assert len(reports) == 2
    for report, files, row in zip(reports, (first, second), rows, strict=True):
        images = [dcmread(file) for file in files]
        assert report.StudyInstanceUID == images[0].StudyInstanceUID
        assert evidence(report) == (images[0].SeriesInstanceUID, {image.SOPInstanceUID for image in images})
        given = {name: float(row[f"probability_{name}"]) for name in ("healthy", "aneurysm")}
        assert probabilities(report) == pytest.approx(given, abs=2e-6)
        assert "PredecessorDocumentsSequence" not in report
        assert str(report.PatientName) == PATIENT
        assert f"series {images[0].SeriesInstanceUID}, version 1: {row['predicted_class']}" in caplog.text
    assert PATIENT not in caplog.text


@pytest.mark.slow
def test_a_second_start_sends_nothing(settings, sink, incoming):
    make_series(incoming / "a")
    assert watch(settings) == watch(settings) == 0
    shutil.copytree(incoming / "a", incoming / "copy")
    assert watch(settings) == 0
    for place in ("a", "copy"):
        (incoming / place / "000000.dcm").unlink()
    assert watch(settings) == 0
    assert [len(times) for times in sink.received.values()] == [1]


@pytest.mark.slow
def test_the_same_report_is_made_where_the_state_was_lost(settings, sink, incoming, tmp_path):
    make_series(incoming / "a")
    for name in ("one", "two"):
        assert watch(dataclasses.replace(settings, state=tmp_path / name)) == 0
    assert [len(times) for times in sink.received.values()] == [2]


@pytest.mark.slow
def test_a_series_that_grows_is_classified_again_and_that_is_said(settings, sink, incoming, tmp_path, caplog):
    *_, last = make_series(incoming / "a")
    last.rename(tmp_path / "late.dcm")
    assert watch(settings) == 0
    (tmp_path / "late.dcm").rename(last)
    with caplog.at_level(logging.INFO):
        assert watch(settings) == 0
    (before,), (after,) = sink.received.values()
    assert (len(evidence(before)[1]), len(evidence(after)[1])) == (5, 6)
    (replaced,) = after.PredecessorDocumentsSequence
    assert replaced.StudyInstanceUID == after.StudyInstanceUID
    (series,) = replaced.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == before.SeriesInstanceUID != after.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == before.SOPInstanceUID
    assert "Version 2: the series changed after it was classified; this replaces the report before." in after.to_json()
    assert "version 2: " in caplog.text
    if program := shutil.which("dciodvfy"):
        for file in (incoming / ".crossd-watch" / "sent").iterdir():
            done = subprocess.run([program, str(file)], capture_output=True, text=True, check=False)
            assert "ComprehensiveSR" in done.stdout + done.stderr
            assert [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")] == []


def test_a_damaged_series_is_recorded_the_others_are_done_and_it_follows_when_it_is_whole(
    settings, sink, incoming, caplog
):
    files = make_series(incoming / PATIENT, seed=0)
    make_series(incoming / "good", seed=1)
    whole = files[2].read_bytes()
    files[2].write_bytes(whole[:-50])
    with caplog.at_level(logging.INFO):
        assert watch(settings) == 1
    assert states(settings) == {".1": "failed", ".2": "classified"}
    assert len(sink.received) == 1
    ledger = ledger_of(settings)
    assert str(files[2]) in next(row["reason"] for row in ledger.versions() if row["state"] == "failed")
    ledger.close()
    assert "498.1 failed: The elements of a DICOM file must end where it ends" in caplog.text
    assert PATIENT not in caplog.text
    files[2].write_bytes(whole)
    assert watch(settings) == 0
    assert states(settings) == {".1": "classified", ".2": "classified"}
    assert [len(times) for times in sink.received.values()] == [1, 1]


@pytest.mark.slow
def test_a_damaged_file_that_goes_again_leaves_an_answered_series(settings, sink, incoming):
    files = make_series(incoming / "a")
    assert watch(settings) == 0
    (incoming / "a" / "late.dcm").write_bytes(files[2].read_bytes()[:-50])
    assert watch(settings) == 1
    (incoming / "a" / "late.dcm").unlink()
    assert watch(settings) == 0
    ledger = ledger_of(settings)
    assert [(row["state"], row["number"]) for row in ledger.versions()] == [("classified", 1)]
    ledger.close()
    assert [len(times) for times in sink.received.values()] == [1]


def test_pixels_that_cannot_be_read_fail_in_the_same_way(settings, sink, incoming):
    files = make_series(incoming / "a")
    dataset = dcmread(files[0])
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.90"  # says JPEG 2000, and is not
    dataset.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00none\xfe\xff\xdd\xe0\0\0\0\0"
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(files[0])
    make_series(incoming / "b", seed=1)
    assert watch(settings) == 1
    assert states(settings) == {".1": "failed", ".2": "classified"}


def test_what_is_no_scan_is_skipped(settings, sink, incoming):
    make_series(incoming / "a", seed=0, SeriesDescription="Localizer")
    make_series(incoming / "b", seed=1, SeriesDescription="t1")
    (incoming / "c.dcm").write_bytes(b"")
    assert watch(dataclasses.replace(settings, series=["t2", "localiser"])) == 1  # the file that says no series
    assert states(settings) == {".1": "skipped", ".2": "skipped"}
    (incoming / "c.dcm").unlink()
    assert watch(dataclasses.replace(settings, series="T1")) == 0
    assert states(settings) == {".1": "skipped", ".2": "classified"}


def test_several_volumes_in_a_series_have_a_report_each(settings, sink, incoming):
    uid = generate_uid()
    for echo in (1, 2):
        make_series(incoming / "a", series_uid=uid, prefix=f"{echo}_", EchoTime=str(echo), SOPInstanceUID=None)
    for number, file in enumerate(sorted((incoming / "a").iterdir())):
        dataset = dcmread(file)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
        dataset.save_as(file)
    assert watch(settings) == 0
    shown = [evidence(times[0])[1] for times in sink.received.values()]
    assert [len(uids) for uids in shown] == [6, 6]
    assert not shown[0] & shown[1]


def full(*arguments, **options):
    raise OSError(28, "No space left on device")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("holder", "name"), [(outbox, "replaced"), (structured_reports, "structured_report"), (Ledger, "answered")]
)
def test_a_full_disk_loses_nothing(settings, sink, incoming, monkeypatch, caplog, holder, name):
    make_series(incoming / "a")
    with monkeypatch.context() as patch:
        patch.setattr(holder, name, full)
        watch(settings)
    assert "No space left on device" in caplog.text
    assert sink.received == {}
    assert not list((incoming / ".crossd-watch").rglob("*.dcm")) or name == "answered"
    assert watch(settings) == 0
    assert [len(times) for times in sink.received.values()] == [1]


def test_a_series_that_changes_while_it_is_classified_is_done_again(settings, sink, incoming, monkeypatch):
    files = make_series(incoming / "a")
    read = structured_reports.structured_report

    def meanwhile(images, *arguments, **options):
        if len(images) == 6:
            files[-1].unlink()
        return read(images, *arguments, **options)

    monkeypatch.setattr(structured_reports, "structured_report", meanwhile)
    assert watch(settings) == 0
    assert [len(evidence(times[0])[1]) for times in sink.received.values()] == [5]


def test_it_goes_on_until_it_is_told_to_stop(settings, sink, incoming):
    stop, ended = threading.Event(), []
    running = threading.Thread(
        target=lambda: ended.append(watch(dataclasses.replace(settings, once=False), stop)), daemon=True
    )
    running.start()
    for seed in (0, 1):
        make_series(incoming / str(seed), seed=seed)
        until(lambda seed=seed: len(sink.received) == seed + 1)
    waiting = ledger_of(settings)
    until(lambda: not waiting.waiting())
    (sent, *_) = (incoming / ".crossd-watch" / "sent").iterdir()
    waiting.close()
    assert sent.stem in sink.received
    with pytest.raises(CrossDError, match=r"One watcher works on a folder at a time: '.*incoming' is held by another"):
        watch(settings)
    with pytest.raises(CrossDError, match=r"is held by another process. End that one, or watch .* \(--state\)"):
        watch(dataclasses.replace(settings, state=incoming.parent / "another"))
    stop.set()
    running.join(30)
    assert ended == [0]
    assert not (incoming / ".crossd-watch" / "work").exists()


def test_refusals_to_start(settings, incoming, tmp_path, weights):
    (tmp_path / "link").symlink_to(incoming)
    for change, message in (
        ({"folder": tmp_path / "nowhere"}, r"needs a folder to watch: '.*nowhere' is none. Make it"),
        ({"bundle": tmp_path}, r"A bundle holds configs/inference.json: '.*' does not. Pass its root by --bundle_root"),
        ({"state": incoming / "state"}, r"must not be watched: the state folder '.*' lies in .* begins with a dot"),
        ({"state": incoming}, r"must not be watched"),
        ({"state": incoming / ".." / "incoming" / "state"}, r"must not be watched"),
        ({"state": tmp_path / "link" / "state"}, r"must not be watched"),
        ({"state": Path("/proc/state")}, r"in a folder that it can write: '/proc/state' is none \(.*\). Pass another"),
        ({"series": ""}, r"A series filter must be a text"),
    ):
        with pytest.raises(CrossDError, match=message):
            watch(dataclasses.replace(settings, **change))
    (incoming / ".crossd-watch").mkdir(exist_ok=True)
    (incoming / ".crossd-watch" / LEDGER).write_bytes(b"something else, long enough to be looked into" * 100)
    with pytest.raises(
        CrossDError, match=r"must be a journal that can be written: '.*' is not \(file is not a database"
    ):
        watch(settings)


def test_nobody_can_send_where_it_did_not_start(settings, tmp_path):
    """The port opens when the weights are loaded, not before."""
    from crossd.serve import Node, receiver

    opened = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(receiver.Receiver, "start", lambda self: opened.append(self.node))
        wrong = dataclasses.replace(
            settings, weights=str(tmp_path / "none.pt"), listen=Node("CROSSD", "127.0.0.1", 1), allow=["ORTHANC"]
        )
        with pytest.raises(Exception, match=r".") as caught:
            watch(wrong)
        assert not opened
        assert "none.pt" in str(caught.value) + str(caught.value.__cause__)
        watch(dataclasses.replace(wrong, weights=settings.weights))
        assert opened == [wrong.listen]


def test_without_pynetdicom(settings, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CrossDError, match=r'pynetdicom, which is not installed. `pip install "crossd\[serve\]"`'):
        watch(settings)


@pytest.mark.slow
def test_real_series_get_what_a_run_of_the_bundle_says(settings, sink, incoming, tmp_path, shared_data):
    """An oblique MR series, and one image in nine encodings, all in one folder."""
    for name in ("mr_prostate_adc", "transfer_syntax"):
        shutil.copytree(shared_data / "dicom" / name, incoming / name)
    card = {**CARD, "input": {**CARD["input"], "roi_size": [32, 128, 128]}}
    save_checkpoint(tmp_path / "model.pt", network_from_card(card), card=card)
    watch(dataclasses.replace(settings, weights=str(tmp_path / "model.pt")))
    rows = [row for row in bundle_run(tmp_path, incoming, tmp_path / "model.pt") if row["status"] == "ok"]
    assert len(rows) > 1
    answers = [probabilities(times[0])["aneurysm"] for times in sink.received.values()]
    assert sorted(answers) == pytest.approx(sorted(float(row["probability_aneurysm"]) for row in rows), abs=2e-6)

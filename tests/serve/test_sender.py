"""Laws of delivery: what waits is sent until it is accepted, and then no more."""

from __future__ import annotations

import logging
import time

import pytest
from crossd.serve import Node
from crossd.serve.ledger import Report
from crossd.serve.outbox import Outbox
from crossd.serve.sender import Sender
from crossd.serve.series_versions import SeriesKey, Version

from .made import CARD, Sink, make_series, until

pytestmark = pytest.mark.slow  # waits for the network

ANSWER = {"predicted": ["healthy"], "probabilities": {"healthy": 0.75, "aneurysm": 0.25}}


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path, "model")


@pytest.fixture
def waiting(ledger, outbox, tmp_path):
    """Puts a report that inference has written into the outbox."""
    from crossd.inference.sr_document import structured_report
    from pydicom import dcmread

    made: list[Report] = []

    def put(seed=0):
        files = make_series(tmp_path / "series", seed=seed, slices=1)
        report = structured_report([dcmread(files[0])], ANSWER["probabilities"], ["healthy"], CARD)
        report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
        version = Version(SeriesKey(f"1.2.{seed}", f"key {seed}"), (), frozenset([f"content {seed}"]))
        made.append(outbox.put(tmp_path / "report.dcm", version, "", ANSWER))
        ledger.answered(version, 1, made[-1:])
        return made[-1].uid

    return put


def states(ledger):
    return [report["state"] for version in ledger.versions() for report in ledger.reports(version["id"])]


def test_accepted_reports_move_on(sink, ledger, outbox, waiting):
    uids = [waiting(seed) for seed in range(3)]
    assert outbox.path(uids[0]).is_file()
    made = Sender(ledger, outbox, sink.node, "CROSSD")
    assert made.deliver() is None
    assert list(sink.received) == uids
    assert (states(ledger), ledger.waiting()) == (["sent"] * 3, [])
    assert not outbox.path(uids[0]).exists()
    assert (outbox.accepted / f"{uids[0]}.dcm").is_file()
    assert made.deliver() is None
    assert [len(times) for times in sink.received.values()] == [1, 1, 1]


@pytest.mark.parametrize("status", [0xA700, 0x0122])
def test_a_refused_report_is_sent_again_and_does_not_keep_others(sink, ledger, outbox, waiting, status, caplog):
    refused, other = waiting(0), waiting(1)
    sink.statuses = [status]
    made = Sender(ledger, outbox, sink.node, "CROSSD", longest_pause=0.1)
    pause = made.deliver()
    assert pause is not None
    assert pause <= 0.1
    assert list(sink.received) == [other]
    assert f"refused a report with status 0x{status:04X} ({refused}); trying again until it is accepted" in caplog.text
    assert ledger.reports(ledger.versions()[0]["id"])[0]["attempts"] == 1
    time.sleep(0.11)
    assert made.deliver() is None
    assert list(sink.received) == [other, refused]


def test_a_warning_is_acceptance(sink, ledger, outbox, waiting):
    waiting()
    sink.statuses = [0xB006]
    assert Sender(ledger, outbox, sink.node, "CROSSD").deliver() is None
    (report,) = ledger.reports(ledger.versions()[0]["id"])
    assert (report["state"], report["reason"]) == ("sent", "accepted with warning 0xB006")


def test_rejected_and_unreachable_nodes(sink, ledger, outbox, waiting, caplog):
    waiting()
    strange = Sender(ledger, outbox, sink.node, "STRANGER", longest_pause=5)
    wrong = Sender(ledger, outbox, sink.node._replace(ae_title="ANOTHER"), "CROSSD")
    nobody = Sender(ledger, outbox, Node("SINK", "127.0.0.1", 1), "CROSSD")
    for made in (strange, wrong, nobody):
        assert made.deliver() == 1.0
    assert [strange.deliver(), strange.deliver(), strange.deliver()] == [2.0, 4.0, 5]
    assert caplog.text.count("rejects the association (Calling AE title not recognised): it must know this side") == 1
    assert "rejects the association (Called AE title not recognised)" in caplog.text
    assert "SINK@127.0.0.1:1 cannot be reached, or ends the association: is it running" in caplog.text
    assert ledger.reports(ledger.versions()[0]["id"])[0]["attempts"] == 6
    assert states(ledger) == ["waiting"]


def test_a_node_that_takes_no_reports(ledger, outbox, waiting, caplog):
    from pynetdicom import AE
    from pynetdicom.sop_class import CTImageStorage

    waiting()
    entity = AE(ae_title="SINK")
    entity.add_supported_context(CTImageStorage)
    server = entity.start_server(("127.0.0.1", 0), block=False)
    made = Sender(ledger, outbox, Node("SINK", "127.0.0.1", server.server_address[1]), "CROSSD")
    assert made.deliver() == 1.0
    server.shutdown()
    assert states(ledger) == ["waiting"]


def test_a_node_that_comes_back_gets_all_that_waits(ledger, outbox, waiting, caplog):
    first = Sink()
    made = Sender(ledger, outbox, first.node, "CROSSD", longest_pause=0.2)
    made.start()
    with caplog.at_level(logging.INFO):
        uids = [waiting(0)]
        made.wake()
        until(lambda: len(first.received) == 1)
        first.stop()
        for seed in (1, 2):
            uids.append(waiting(seed))
            made.wake()
        until(lambda: "cannot be reached" in caplog.text)
        second = Sink(port=first.node.port)
        until(lambda: not ledger.waiting())
    made.stop()
    made.join(10)
    second.stop()
    assert [list(first.received), list(second.received)] == [uids[:1], uids[1:]]
    assert all(len(times) == 1 for sink in (first, second) for times in sink.received.values())


def test_accepted_and_not_marked_is_sent_again_as_the_same_object(sink, ledger, outbox, waiting, monkeypatch):
    uid = waiting()
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "sent", lambda uid, note: exec("raise OSError(28, 'No space left on device')"))
        with pytest.raises(OSError, match="No space left"):
            Sender(ledger, outbox, sink.node, "CROSSD").deliver()
    assert states(ledger) == ["waiting"]
    assert Sender(ledger, outbox, sink.node, "CROSSD").deliver() is None
    once, again = sink.received[uid]
    assert once == again


def test_trouble_with_the_ledger_does_not_end_the_thread(sink, ledger, outbox, waiting, monkeypatch, caplog):
    monkeypatch.setattr(ledger, "waiting", lambda: exec("raise OSError(28, 'No space left on device')"))
    made = Sender(ledger, outbox, sink.node, "CROSSD", longest_pause=0.05)
    made.start()
    until(lambda: "OSError: [Errno 28] No space left on device; trying again" in caplog.text)
    monkeypatch.undo()
    waiting()
    made.wake()
    until(lambda: states(ledger) == ["sent"])
    made.stop()
    made.join(10)
    assert not made.is_alive()


def test_a_report_whose_file_is_gone_is_to_be_made_again(sink, ledger, outbox, waiting):
    gone, other = waiting(0), waiting(1)
    outbox.path(gone).unlink()
    lost = []
    assert Sender(ledger, outbox, sink.node, "CROSSD", lost=lambda: lost.append(True)).deliver() is None
    assert (list(sink.received), lost) == ([other], [True])
    assert ledger.known(SeriesKey("1.2.0", "key 0")) == (frozenset(), 0)


def test_a_report_that_cannot_be_read_does_not_keep_others(sink, ledger, outbox, waiting, caplog):
    torn, other = waiting(0), waiting(1)
    whole = outbox.path(torn).read_bytes()
    outbox.path(torn).write_bytes(b"")
    made = Sender(ledger, outbox, sink.node, "CROSSD", longest_pause=0.1)
    assert made.deliver() is not None
    assert (list(sink.received), ledger.waiting()) == ([other], [torn])
    assert f"a report in the outbox cannot be read (InvalidDicomError) ({torn}); trying again" in caplog.text
    outbox.path(torn).write_bytes(whole)
    time.sleep(0.11)
    assert made.deliver() is None
    assert list(sink.received) == [other, torn]


def test_the_files_follow_the_ledger_after_an_end_at_any_moment(ledger, outbox, waiting):
    accepted, lost, kept = waiting(0), waiting(1), waiting(2)
    ledger.sent(accepted)  # and not moved
    outbox.path(lost).unlink()
    (outbox.waiting / "1.2.3.dcm").write_bytes(b"written, and never entered")
    (outbox.waiting / ".1.2.3.part").write_bytes(b"half")
    outbox.tidy(ledger)
    assert [file.name for file in outbox.waiting.iterdir()] == [f"{kept}.dcm"]
    assert [file.name for file in outbox.accepted.iterdir()] == [f"{accepted}.dcm"]
    assert ledger.waiting() == [kept]

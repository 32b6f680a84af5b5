"""Laws of the door: nothing too long is read, nobody who does nothing keeps others out, and the log says why."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import struct
import threading
import time
import zlib

import numpy as np
import pytest
from crossd.serve import Node, received
from crossd.serve.receiver import CANNOT_UNDERSTAND, OUT_OF_RESOURCES, Receiver
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import CTImageStorage, Verification

from .made import PATIENT, free_port, make_series, until
from .test_receiver import association, rejection, send_raw

gate = pytest.importorskip("crossd.serve.gate", reason='pynetdicom is not installed: pip install "crossd[serve]"')
peer = gate.Peer.__module__  # by name, for monkeypatch


def connected(receiver, source="127.0.0.1"):
    return socket.create_connection((receiver.node.host, receiver.node.port), timeout=20, source_address=(source, 0))


def is_closed(connection):
    """Whether the other side has ended it; waits for that."""
    with contextlib.suppress(ConnectionError):
        while connection.recv(65536):
            pass
    return True


def pdata(data, control=0):
    """A P-DATA-TF of one fragment, of the first context."""
    return struct.pack(">BBIIBB", 4, 0, len(data) + 6, len(data) + 2, 1, control) + data


def raw(to):
    """The socket below an association, which is not looked at by pynetdicom any more."""
    to.dul.kill_dul()
    to.dul.join()
    to.is_established, to._kill = False, True  # nothing is left to be released
    return to.dul.socket.socket


def honest(receiver):
    with association(receiver) as to:
        return to.is_established and to.send_c_echo().Status == 0


def test_a_length_is_judged_before_a_byte_of_it_is_read(receiver, caplog):
    """A request of 4 GB from nobody in particular: it is closed at the sixth byte."""
    for first in (b"\x01\0\xff\xff\xff\xf0", struct.pack(">BBI", 1, 0, 2**18 + 1), struct.pack(">BBI", 1, 0, 3)):
        with connected(receiver) as to:
            to.sendall(first)
            assert is_closed(to)
    assert "its request is no one of 42 to 262144 bytes (4294967280 bytes)" in caplog.text
    with association(receiver) as to:
        raw(to).sendall(struct.pack(">BBI", 4, 0, 2**17 + 1))
        assert is_closed(raw(to))
    assert "a PDU must have 131072 bytes at most, as was agreed" in caplog.text
    assert honest(receiver)


NO_REQUEST, TOO_LATE = (
    "what it says first is no DICOM association request",
    "it asked for no association within 0 s",
)


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", NO_REQUEST),
        (b"\x04\0\0\0\0\x10" + bytes(64), NO_REQUEST),
        (b"", TOO_LATE),
        (b"\x01\0\0\0\x01\0\0\x01", TOO_LATE),
    ],
)
def test_an_association_is_asked_for_first_and_in_time(receiver, monkeypatch, caplog, first, told):
    monkeypatch.setattr(gate, "TO_ASSOCIATE", 0.3)
    with connected(receiver) as to:
        to.sendall(first)
        assert is_closed(to)
    assert f"closed a connection from 127.0.0.1: {told}" in caplog.text


def test_who_connects_and_says_nothing_takes_no_place(receiver, monkeypatch, caplog):
    monkeypatch.setattr(gate, "WAITING_OF_ONE", 4)
    with contextlib.ExitStack() as held:
        bare = [held.enter_context(connected(receiver)) for _ in range(12)]
        assert honest(receiver)
        assert all(map(is_closed, bare[:8]))
    assert "closed a connection from 127.0.0.1: it asks for nothing, and many others come" in caplog.text


def test_many_addresses_take_no_places_either(receiver, monkeypatch):
    monkeypatch.setattr(gate, "WAITING", 6)
    with contextlib.ExitStack() as held:
        bare = [held.enter_context(connected(receiver, f"127.0.1.{1 + number // 2}")) for number in range(12)]
        assert honest(receiver)
        assert is_closed(bare[0])


def test_a_health_check_is_nothing_to_tell(receiver, caplog):
    for _ in range(3):
        connected(receiver).close()
    assert honest(receiver)
    assert "from 127.0.0.1" not in caplog.text


def test_who_is_idle_yields_its_place(receiver, monkeypatch, caplog):
    monkeypatch.setattr(gate, "PLACES", 3)
    with contextlib.ExitStack() as held:
        idle = [held.enter_context(association(receiver)) for _ in range(3)]
        assert rejection(receiver) == (2, 3, 2), "for the time being: local limit exceeded"
        assert (
            "rejected an association from 127.0.0.1: all places are taken, and nobody is idle (ORTHANC)" in caplog.text
        )
        monkeypatch.setattr(gate, "YIELDS", 0.2)
        time.sleep(0.3)
        assert idle[0].send_c_echo().Status == 0  # so that another one is the idlest
        assert honest(receiver)
        until(lambda: idle[1].is_aborted)
        assert (idle[0].is_established, idle[2].is_established) == (True, True)
    assert "ended an association from 127.0.0.1: it was idle, and all places are taken" in caplog.text


def test_one_address_does_not_take_the_places_of_others(receiver, monkeypatch):
    monkeypatch.setattr(gate, "PLACES_OF_ONE", 2)
    with contextlib.ExitStack() as held:
        assert all(held.enter_context(association(receiver)).is_established for _ in range(2))
        assert rejection(receiver) == (2, 3, 2)
        entity = AE(ae_title="ORTHANC")
        entity.add_requested_context(Verification)
        other = entity.associate("127.0.0.1", receiver.node.port, ae_title="CROSSD", bind_address=("127.0.0.7", 0))
        assert other.is_established
        other.release()


def test_a_pdu_that_does_not_end(receiver, monkeypatch, caplog):
    monkeypatch.setattr(f"{peer}.WHOLE", 0.3)
    with association(receiver) as to:
        raw(to).sendall(struct.pack(">BBI", 4, 0, 1000) + b"\0")
        assert is_closed(raw(to))
    assert "a PDU did not end within 0 s" in caplog.text


def test_drops_that_fill_nothing(receiver, monkeypatch, caplog):
    """One byte of an object a PDU, for ever: each PDU is in time, and nothing gets on."""
    monkeypatch.setattr(f"{peer}.IDLE", 0.3)
    with association(receiver) as to:
        dripping, closed = raw(to), threading.Event()
        threading.Thread(target=lambda: is_closed(dripping) and closed.set(), daemon=True).start()
        with contextlib.suppress(OSError):
            while not closed.wait(0.02):
                dripping.sendall(pdata(b"\0", control=1))
    assert "less than 16384 bytes came in 0 s" in caplog.text


@pytest.mark.parametrize(
    ("bound", "control", "told"),
    [
        ("COMMAND", 1, "a command has more than 1000 bytes"),
        ("LARGEST", 0, "an object has more than 1000 bytes"),
    ],
)
def test_what_never_ends(receiver, tmp_path, monkeypatch, caplog, bound, control, told):
    monkeypatch.setattr(f"{peer}.{bound}", 1000)
    (file,) = make_series(tmp_path / "sent", slices=1)
    with association(receiver) as to:
        if control == 0:
            monkeypatch.setattr(to.dimse.__class__, "maximum_pdu_size", 500)
            assert send_raw(to, dcmread(file), bytes(5000)) is None
        else:
            endless = raw(to)
            with contextlib.suppress(OSError):
                for _ in range(100):
                    endless.sendall(pdata(bytes(100), control))
            assert is_closed(endless)
    until(lambda: told in caplog.text)
    assert honest(receiver)


def test_nonsense_ends_an_association_and_nothing_else(receiver, caplog):
    rng = np.random.default_rng(0)
    said = [pdata(b""), pdata(b"x"), pdata(b"x", 3), b"\x04\0\0\0\0\0", b"\x04\0\0\0\0\x02\0\0", b"\x02\0\0\0\0\0"]
    for data in [*said, *(b"\x04\0\0\0\x01\0" + rng.bytes(256) for _ in range(8))]:
        with association(receiver) as to:
            raw(to).sendall(data)
            raw(to).shutdown(socket.SHUT_WR)
            assert is_closed(raw(to))
    assert "a data set came before its command" in caplog.text
    assert honest(receiver)


def test_what_is_not_done_here_ends_an_association(receiver, caplog):
    with association(receiver, contexts=(CTImageStorage,)) as to:
        command = Dataset()
        command.AffectedSOPClassUID, command.CommandField, command.MessageID = CTImageStorage, 0x0020, 1  # C-FIND-RQ
        command.CommandDataSetType = 0x0101
        raw(to).sendall(pdata(encode(command, True, True), control=3))
        assert is_closed(raw(to))
    assert "it asks for what is not done here, which is C-STORE and C-ECHO" in caplog.text


def deflated(file, megabytes=0):
    """A data set, and the same deflated with so many zeros behind it."""
    dataset = dcmread(file)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    pack = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    data = pack.compress(encode(dataset, False, True)) + b"".join(pack.compress(bytes(2**20)) for _ in range(megabytes))
    data += pack.flush()
    return dataset, data + b"\0" * (len(data) % 2)


def test_a_deflate_bomb_is_refused_as_it_comes(receiver, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(received, "ANY_SIZE", 2**20)
    (file,) = make_series(tmp_path / "sent", slices=1)
    entity = AE(ae_title="ORTHANC")
    entity.add_requested_context(CTImageStorage, [DeflatedExplicitVRLittleEndian])
    to = entity.associate("127.0.0.1", receiver.node.port, ae_title="CROSSD")
    assert send_raw(to, *deflated(file, 50)) == CANNOT_UNDERSTAND
    assert not receiver.folder.exists()
    dataset, data = deflated(file)
    assert send_raw(to, dataset, data[: len(data) // 2] + b"damaged") == CANNOT_UNDERSTAND
    assert send_raw(to, dataset, data) == 0
    to.release()
    assert dcmread(next(receiver.folder.rglob("*.dcm"))).PixelData == dcmread(file).PixelData
    assert re.search(r": \d+ bytes of it unpack to more than \d+ \(ORTHANC\)", caplog.text)


@pytest.mark.parametrize("kilobytes", [10, 3000])
def test_a_large_object_needs_little_memory_and_a_disk(receiver, tmp_path, monkeypatch, caplog, kilobytes):
    (file,) = make_series(tmp_path / "sent", slices=1)
    dataset = dcmread(file)
    dataset.PixelData = np.random.default_rng(0).bytes(kilobytes * 1024)
    with association(receiver) as to:
        with monkeypatch.context() as patch:
            patch.setattr(received.tempfile.SpooledTemporaryFile, "rollover", lambda self: no_space())
            patch.setattr(os, "fsync", lambda descriptor: no_space())
            assert to.send_c_store(dataset).Status == OUT_OF_RESOURCES
        assert [path for path in receiver.folder.rglob("*") if path.is_file()] == []
        assert to.send_c_store(dataset).Status == 0
    assert dcmread(next(receiver.folder.rglob("*.dcm"))).PixelData == dataset.PixelData
    assert "refused an object from 127.0.0.1: No space left on device (ORTHANC)" in caplog.text
    assert PATIENT not in caplog.text


def no_space():
    raise OSError(28, "No space left on device")


def test_two_objects_of_one_uid_are_both_kept_and_told(receiver, tmp_path, caplog):
    """Careless anonymisation gives two patients the same UIDs; and a correction keeps its own."""
    first, second = (dcmread(make_series(tmp_path / str(seed), seed=seed, slices=1)[0]) for seed in (1, 2))
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        second[name].value = first[name].value
    second.file_meta.MediaStorageSOPInstanceUID = first.SOPInstanceUID
    with association(receiver) as to:
        assert [to.send_c_store(dataset).Status for dataset in (first, second, first, second)] == [0, 0, 0, 0]
    files = sorted(receiver.folder.rglob("*.dcm"))
    assert [dcmread(file).PatientID for file in files] == ["p2", "p1"]
    assert files[1].name.startswith(f"{first.SOPInstanceUID}.earlier-")
    assert caplog.text.count("it has the UID of another one and other content; both are kept") == 1
    assert PATIENT not in caplog.text


def test_who_can_send_nothing_is_told(receiver, caplog):
    with association(receiver, contexts=("1.2.840.10008.5.1.4.1.1.88.33",)) as to:
        assert to.accepted_contexts == []
    assert "nothing can come from 127.0.0.1: no class it offers is an image (ORTHANC)" in caplog.text


def test_ipv6(tmp_path):
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    made = Receiver(Node("CROSSD", "::1", free_port()), ["ORTHANC"], tmp_path / "received")
    made.start()
    try:
        assert honest(made)
    finally:
        made.stop()


def test_a_stop_ends_what_is_under_way(receiver):
    with connected(receiver), association(receiver) as to:
        before = threading.active_count()
        receiver.stop()
        until(lambda: to.is_aborted)
        until(lambda: not [one for one in threading.enumerate() if one.name == "gate" or "Acceptor" in one.name])
        assert threading.active_count() < before


def test_a_flood_is_one_line_a_minute(receiver, caplog):
    with caplog.at_level(logging.WARNING):
        for number in range(20):
            assert rejection(receiver, calling=f"EVIL{number}") == (1, 1, 3)
    assert caplog.text.count("rejected an association") == 1


def test_the_largest_pdu_is_taken(receiver, tmp_path):
    """128 KiB is what is announced, and what a sender then may use."""
    (file,) = make_series(tmp_path / "sent", slices=1)
    dataset = dcmread(file)
    dataset.PixelData = bytes(2**20)
    entity = AE(ae_title="ORTHANC")
    entity.add_requested_context(CTImageStorage, [ExplicitVRLittleEndian])
    to = entity.associate("127.0.0.1", receiver.node.port, ae_title="CROSSD")
    assert to.acceptor.maximum_length == 2**17
    assert to.send_c_store(dataset).Status == 0
    to.release()

"""Laws of the listener: known callers only, images only, on the disk before success is said."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import socket
import struct

import pytest
from crossd.data import find_series
from crossd.errors import CrossDError
from crossd.serve import Node
from crossd.serve.receiver import ANOTHER_OBJECT, CANNOT_UNDERSTAND, Receiver
from pydicom import dcmread
from pynetdicom import AE
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import ComprehensiveSRStorage, CTImageStorage, MRImageStorage, Verification

from .made import free_port, make_series


@contextlib.contextmanager
def association(receiver, calling="ORTHANC", called="CROSSD", contexts=(CTImageStorage, Verification)):
    entity = AE(ae_title=calling)
    for context in contexts:
        entity.add_requested_context(context)
    made = entity.associate(receiver.node.host, receiver.node.port, ae_title=called)
    yield made
    if made.is_established:
        made.release()


def rejection(receiver, calling="ORTHANC", called="CROSSD"):
    """Result, source and reason of the A-ASSOCIATE-RJ (PS3.8, table 9-21) that a request is answered with.

    Read from the wire: pynetdicom takes a rejection that comes before its own threads have changed over for an abort.
    """
    context = b"1.2.840.10008.3.1.1.1"
    body = struct.pack(">HH16s16s32s", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode(), b"")
    body += struct.pack(">BBH", 0x10, 0, len(context)) + context
    with socket.create_connection((receiver.node.host, receiver.node.port), timeout=20) as to:
        to.sendall(struct.pack(">BBI", 1, 0, len(body)) + body)
        answer = b"".join(iter(lambda: to.recv(64), b""))
    assert answer[:6] == b"\x03\0\0\0\0\x04", "an A-ASSOCIATE-RJ, and nothing after it"
    return tuple(answer[7:])


def send_raw(to, announced, data):
    """The status of a C-STORE whose data set is as it is given."""
    (context,) = [item for item in to.accepted_contexts if item.abstract_syntax == announced.SOPClassUID]
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = announced.SOPClassUID, announced.SOPInstanceUID
    request.DataSet = io.BytesIO(data)
    to._reactor_checkpoint.clear()
    to.dimse.send_msg(request, context.context_id)
    _, answer = to.dimse.get_msg(block=True)
    to._reactor_checkpoint.set()
    return answer and answer.Status


def test_what_is_received_is_what_was_sent(receiver, tmp_path):
    sent = make_series(tmp_path / "sent", slices=3)
    with association(receiver) as to:
        assert to.send_c_echo().Status == 0
        assert [to.send_c_store(dcmread(file)).Status for file in sent] == [0, 0, 0]
    series = dcmread(sent[0])
    folder = receiver.folder / series.StudyInstanceUID / series.SeriesInstanceUID
    files = sorted(folder.iterdir())
    assert {file.stem for file in files} == {dcmread(file).SOPInstanceUID for file in sent}
    ((volume,), rejected) = find_series(files)
    assert (len(volume.files), rejected) == (3, [])
    for file in sent:
        dataset = dcmread(file)
        assert dcmread(folder / f"{dataset.SOPInstanceUID}.dcm") == dataset


def test_others_are_rejected(receiver, caplog):
    for calling, called in (("SOMEBODY", "CROSSD"), ("ORTHANC", "ANOTHER")):
        result, source, reason = rejection(receiver, calling, called)
        assert (result, source, reason) == (1, 1, 3 if calling == "SOMEBODY" else 7)
    assert not receiver.folder.exists()
    assert "rejected an association from 127.0.0.1: it is not among those of --allow (SOMEBODY)" in caplog.text
    assert "from 127.0.0.1: it calls another AE title (ORTHANC calls ANOTHER)" in caplog.text


def test_nobody_is_allowed_without_being_named(tmp_path):
    with pytest.raises(CrossDError, match=r"must know who may send to it: CROSSD@127.0.0.1:104 .* by --allow, for"):
        Receiver(Node("CROSSD", "127.0.0.1", 104), [], tmp_path)
    with pytest.raises(CrossDError, match=r"no backslash, got --allow 'A\\\\B'"):
        Receiver(Node("CROSSD", "127.0.0.1", 104), ["A\\B"], tmp_path)


def test_a_port_that_is_taken(receiver, tmp_path):
    second = Receiver(receiver.node, ["ORTHANC"], tmp_path)
    with pytest.raises(CrossDError, match=r"needs an address of this machine and a free port: .*in use.*by --listen"):
        second.start()


def test_reports_are_not_taken(receiver):
    with association(receiver, contexts=(ComprehensiveSRStorage, CTImageStorage)) as to:
        assert [context.abstract_syntax for context in to.accepted_contexts] == [CTImageStorage]


def test_sent_again_is_not_written_again(receiver, tmp_path):
    (file,) = make_series(tmp_path / "sent", slices=1)
    with association(receiver) as to:
        assert to.send_c_store(dcmread(file)).Status == 0
        (path,) = receiver.folder.rglob("*.dcm")
        os.utime(path, (1, 1))
        assert to.send_c_store(dcmread(file)).Status == 0
        assert path.stat().st_mtime == 1
        changed = dcmread(file)
        changed.SeriesDescription = "corrected"
        assert to.send_c_store(changed).Status == 0
    assert dcmread(path).SeriesDescription == "corrected"


@pytest.mark.parametrize("uid", ["../../../escaped", "/tmp/escaped", ""])
def test_uids_cannot_lead_elsewhere(receiver, tmp_path, uid):
    (file,) = make_series(tmp_path / "sent", slices=1)
    dataset = dcmread(file)
    dataset.StudyInstanceUID = uid
    with association(receiver) as to:
        assert to.send_c_store(dataset).Status == CANNOT_UNDERSTAND
    assert not receiver.folder.exists()


def test_another_object_than_announced(receiver, tmp_path):
    (file,) = make_series(tmp_path / "sent", slices=1)
    with association(receiver, contexts=(CTImageStorage, MRImageStorage)) as to:
        for tag, value in (("SOPInstanceUID", "1.2.3"), ("SOPClassUID", MRImageStorage)):
            dataset = dcmread(file)
            data = encode(dataset, False, True)
            dataset[tag].value = value
            assert send_raw(to, dataset, data) == ANOTHER_OBJECT
        assert send_raw(to, dcmread(file), b"nothing at all") == CANNOT_UNDERSTAND
        assert to.send_c_store(dcmread(file)).Status == 0


def test_an_address_that_others_can_reach_is_warned_of(tmp_path, caplog):
    made = Receiver(Node("CROSSD", "0.0.0.0", free_port()), ["ORTHANC"], tmp_path)
    with caplog.at_level(logging.WARNING):
        made.start()
    made.stop()
    assert "can be reached from other machines, and DICOM is not encrypted" in caplog.text

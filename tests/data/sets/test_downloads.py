"""Files are downloaded when asked, from their address, with their checksum, and never otherwise."""

from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from pathlib import Path

import pytest
from crossd.data.sets import ixi, medmnist, prepare_datalist
from crossd.data.sets.facts import OfficialFile, official_file
from crossd.errors import CrossDError


@pytest.fixture
def server(tmp_path):
    """The address of a server on this machine of `tmp_path/published`, and the list of what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, form, *arguments):
            asked.append(self.path.split("?")[0].strip("/"))

    (tmp_path / "published").mkdir()
    handler = functools.partial(Handler, directory=str(tmp_path / "published"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def file_at(address, data, name="a.npz"):
    return OfficialFile(f"{address}/{name}?download=1", name, hashlib.md5(data).hexdigest(), "CC0")


def test_downloaded_once_when_asked(server, tmp_path):
    address, asked = server
    (tmp_path / "published" / "a.npz").write_bytes(b"right")
    wanted = file_at(address, b"right")
    with pytest.raises(
        CrossDError, match=rf"a\.npz does not exist\. Download it from {address}/a\.npz\?download=1 \(MD5"
    ):
        official_file(wanted, tmp_path / "root")
    assert not asked
    for _ in range(2):
        assert official_file(wanted, tmp_path / "root", download=True).read_bytes() == b"right"
    assert len(asked) == 1


def test_what_is_not_the_official_file_is_not_kept(server, tmp_path):
    address, _ = server
    (tmp_path / "published" / "a.npz").write_bytes(b"wrong")
    with pytest.raises(CrossDError, match=r"official a\.npz has MD5 .*, what came from http.* has another"):
        official_file(file_at(address, b"right"), tmp_path / "root", download=True)
    assert not (tmp_path / "root" / "a.npz").exists()
    with pytest.raises(CrossDError, match=r"b\.npz must be downloaded, http.*b\.npz\?download=1 did not give it"):
        official_file(file_at(address, b"right", "b.npz"), tmp_path / "root", download=True)


def test_a_medmnist_set_from_its_address(server, tmp_path, made, monkeypatch, rows):
    address, asked = server
    monkeypatch.setattr(medmnist, "URL", address)
    made.medmnist_file("adrenalmnist3d", 28, (3, 2, 2))(tmp_path / "published")
    made.official(tmp_path / "published", "adrenalmnist3d", 28)
    labels = prepare_datalist("adrenalmnist3d", tmp_path / "root", tmp_path / "out", size=28, download=True)
    assert len(rows(labels)) == 7
    assert len(asked) == 1
    assert (tmp_path / "root" / "adrenalmnist3d.npz").is_file()


def test_ixi_from_its_address(server, release, tmp_path, monkeypatch, rows):
    """Archives without a folder, and the table as an Excel file."""
    address, asked = server
    release("ixi-archives").rename(tmp_path / "made")
    for name in ("IXI-T1.tar", "IXI-T2.tar"):
        (tmp_path / "made" / name).rename(tmp_path / "published" / name)
    data = Path(__file__).with_name("ixi_made.xls").read_bytes()
    (tmp_path / "published" / "IXI.xls").write_bytes(data)
    monkeypatch.setitem(ixi._MD5, "IXI.xls", hashlib.md5(data).hexdigest())
    monkeypatch.setattr(ixi, "_URL", address)
    for _ in range(2):  # the second time everything is there
        labels = prepare_datalist("ixi", tmp_path / "root", tmp_path / "out", download=True)
        assert len(rows(labels)) == 14
    assert asked == ["IXI-T1.tar", "IXI-T2.tar", "IXI.xls"]
    assert sorted(path.name for path in (tmp_path / "root").iterdir()) == asked


def test_a_set_behind_terms_is_not_downloaded(tmp_path):
    with pytest.raises(CrossDError, match=r"cannot be downloaded by a program, got --download\. Accept the terms on"):
        prepare_datalist("brats21", tmp_path, tmp_path, download=True)

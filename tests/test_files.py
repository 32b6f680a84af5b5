"""A file is the former one or the new one, whole; a lock is one process's; stored digests stay what they are."""

from __future__ import annotations

import logging
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from crossd.files import digest, lock, md5, replaced, sha256, write_whole


def fork(work: Callable[[], object]) -> int:
    """Work in another process; how it ended: 0, 1 after an exception, or minus the signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def taken_elsewhere(path: Path) -> bool:
    return fork(lambda: lock(path)) == 1


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(("mode", "content"), [("wb", b"\x00\r\nnew"), ("w", "new\nπ\r\n")])
def test_the_new_content_is_there_as_it_was_written(tmp_path: Path, mode: str, content: bytes | str) -> None:
    path = tmp_path / "missing" / "folder" / "a.bin"
    with replaced(path, mode) as file:
        file.write(content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    write_whole(path, "other\n")
    write_whole(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert names(path.parent) == ["a.bin"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("shared", [False, True])
def test_an_exception_leaves_the_former_file_and_no_part(tmp_path: Path, error: type, shared: bool) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write() -> None:
        with replaced(path, shared=shared) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("moment", ["write", "fsync", "replace"])
def test_a_killed_writer_leaves_the_former_file_and_the_next_one_its_own(tmp_path: Path, moment: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def end(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def write() -> None:
        if moment != "write":
            setattr(os, moment, end)
        with replaced(path) as file:
            file.write(b"new" * 9999)
            file.flush()
            if moment == "write":
                end()

    assert fork(write) == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == [".a.bin.part", "a.bin"]
    write_whole(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert names(tmp_path) == ["a.bin"]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder"}
    monkeypatch.setattr(os, "fsync", lambda d: done.append(kinds[stat.S_IFMT(os.fstat(d).st_mode)]) or fsync(d))
    monkeypatch.setattr(os, "replace", lambda *paths: done.append("renamed") or replace(*paths))
    write_whole(tmp_path / "a", b"new")
    assert done == ["file", "renamed", "folder"]


def test_a_file_system_that_cannot_synchronise_folders_is_no_error_and_a_broken_disk_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, number = os.fsync, 22

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, "no")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    write_whole(tmp_path / "a", b"new")
    number = 5  # EIO
    with pytest.raises(OSError, match="no"):
        write_whole(tmp_path / "a", b"new")


def test_a_link_is_replaced_and_what_it_points_to_is_left(tmp_path: Path) -> None:
    target, link, part = tmp_path / "target", tmp_path / "link", tmp_path / ".link.part"
    target.write_bytes(b"old")
    link.symlink_to(target)
    part.symlink_to(target)
    write_whole(link, b"new")
    assert target.read_bytes() == b"old"
    assert link.read_bytes() == b"new"
    assert not link.is_symlink()
    assert names(tmp_path) == ["link", "target"]


@pytest.mark.parametrize(("umask", "permissions"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int, permissions: int) -> None:
    former = os.umask(umask)
    try:
        write_whole(tmp_path / "a", b"new")
        write_whole(tmp_path / "a", b"newer")
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == permissions


def test_writers_that_share_a_file_do_not_disturb_one_another(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    with replaced(path, shared=True) as one:
        with replaced(path, shared=True) as other:
            one.write(b"one" * 9999)
            other.write(b"other" * 9999)
        assert path.read_bytes() == b"other" * 9999
    assert path.read_bytes() == b"one" * 9999
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_another_process_holds_is_refused_at_once_and_free_when_that_is_killed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "lock" if kind == "file" else tmp_path
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        held = lock(path)
        os.write(writing, b"held")
        signal.pause()
        held.close()
    assert os.read(reading, 4) == b"held"
    with pytest.raises(BlockingIOError, match=r"held by another process: '.*'"):
        lock(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    lock(path).close()
    assert names(tmp_path) == ["lock"] * (kind == "file")


def test_a_file_is_held_until_all_of_this_process_have_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with lock(path):
        lock(path).close()
        again = lock(os.path.relpath(path))
        assert taken_elsewhere(path)
    assert taken_elsewhere(path)
    again.close()
    assert not taken_elsewhere(path)


def test_a_forked_process_neither_holds_nor_frees_what_its_parent_holds(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = lock(path)
    assert taken_elsewhere(path)
    assert fork(lambda: taken_elsewhere(path) or sys.exit(1)) == 0
    assert taken_elsewhere(path)
    held.close()


@pytest.mark.parametrize("lacking", ["system", "file system"])
def test_where_there_are_no_locks_a_warning_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, lacking: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    if lacking == "system":
        monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    else:
        monkeypatch.setattr("fcntl.lockf", refuse)
    with caplog.at_level(logging.WARNING, "crossd"), lock(tmp_path / "lock"):
        pass
    assert "lock is not held against other processes: " in caplog.text
    assert f"{lacking} has no locks" in caplog.text


def test_digests_are_those_that_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert md5(path) == "900150983cd24fb0d6963f7d28e17f72"
    assert digest(str(path)) == "cf4ab791c62b8d2b2109c90275287816"
    path.write_bytes(bytes(range(256)) * 10_000)  # several chunks
    assert digest(path) == "6d0ed5efaffad46a214ef035a989b309"

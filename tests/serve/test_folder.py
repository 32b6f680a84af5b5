"""Laws of coming to rest: nothing is complete that still changes, and what was looked into is not read again."""

from __future__ import annotations

import os
import shutil

import pytest
from crossd.serve import folder as folder_module
from crossd.serve.folder import FIRST_PAUSE, Folder

from .made import make_series


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(incoming, ledger, clock):
    return Folder(incoming, 10.0, ledger, clock)


def look(folder, clock, seconds=1.0):
    clock.now += seconds
    folder.scan()
    return [folder.version(key) for key in folder.due()]


def come_to_rest(folder, clock):
    look(folder, clock)
    look(folder, clock)
    return look(folder, clock, 10.0)


def test_a_series_is_due_when_nothing_has_come_for_the_quiet_time(folder, clock, incoming):
    files = make_series(incoming / "a", seed=0)
    late = files[-1].rename(files[-1].with_suffix(".late").with_name(".late"))
    assert look(folder, clock) == look(folder, clock) == look(folder, clock, 9.0) == []
    late.rename(files[-1])
    assert look(folder, clock, 0.5) == look(folder, clock, 0.5) == look(folder, clock, 9.0) == []
    (version,) = look(folder, clock, 1.0)
    assert [path for path, _ in version.files] == [str(file) for file in files]
    assert version.key.uid.endswith(".1")


def test_a_file_that_is_being_written_keeps_its_series_waiting(folder, clock, incoming):
    *_, last = make_series(incoming / "a")
    whole = last.read_bytes()
    last.write_bytes(whole[:500])
    for end in range(600, 1200, 50):  # for longer than the quiet time
        last.write_bytes(whole[:end])
        assert look(folder, clock, 3.0) == []
    last.write_bytes(whole)
    assert len(come_to_rest(folder, clock)[0].files) == 6


def test_series_mixed_in_one_folder_wait_for_their_own_files_only(folder, clock, incoming):
    make_series(incoming, seed=0, prefix="a")
    (incoming / "notes.txt").write_text("not DICOM")
    late = make_series(incoming, seed=1, prefix="b")
    look(folder, clock)
    look(folder, clock)
    for number in range(10):
        late[0].write_bytes(late[0].read_bytes() + b"\0" * number)
        done = look(folder, clock, 1.0)
    assert [version.key.uid[-2:] for version in done] == [".1"]


def test_names_and_places_do_not_matter_content_does(folder, clock, incoming):
    files = make_series(incoming / "a")
    (before,) = come_to_rest(folder, clock)
    shutil.copytree(incoming / "a", incoming / "copy")
    (incoming / "a").rename(incoming / "b")
    (after,) = come_to_rest(folder, clock)
    assert len(after.files) == 12
    assert (after.key, after.digests, after.identifier) == (before.key, before.digests, before.identifier)
    for place in ("b", "copy"):
        with (incoming / place / files[0].name).open("ab") as file:
            file.write(b"\0\0")
    (changed,) = come_to_rest(folder, clock)
    assert changed.key == before.key
    assert changed.identifier != before.identifier
    assert len(changed.digests & before.digests) == 5


def test_one_uid_for_two_patients_is_two_series(folder, clock, incoming):
    make_series(incoming / "a", seed=0, series_uid="1.2.3")
    make_series(incoming / "b", seed=1, series_uid="1.2.3")
    assert [version.key.uid for version in come_to_rest(folder, clock)] == ["1.2.3", "1.2.3"]


def test_a_file_without_a_header_belongs_to_the_only_series_of_its_folder(folder, clock, incoming):
    make_series(incoming / "a", seed=0)
    make_series(incoming / "b", seed=1)
    (incoming / "a" / "x.dcm").write_bytes(b"")
    (incoming / "y.dcm").write_bytes(b"nothing")
    assert [len(version.files) for version in come_to_rest(folder, clock)] == [7, 6]
    assert {os.path.basename(path) for path in folder.strays()} == {"x.dcm", "y.dcm"}
    assert "'" + str(incoming / "y.dcm") + "' " in folder.strays()[str(incoming / "y.dcm")]
    for version in come_to_rest(folder, clock):
        folder.done(version.key)
    (incoming / "a" / "x.dcm").unlink()
    assert [len(version.files) for version in come_to_rest(folder, clock)] == [6]


def test_a_failed_series_is_tried_again_with_growing_pauses_and_at_once_when_it_changes(folder, clock, incoming):
    files = make_series(incoming / "a")
    (version,) = come_to_rest(folder, clock)
    folder.again_later(version.key)
    assert look(folder, clock, FIRST_PAUSE - 1) == []
    assert look(folder, clock, 1.0) == [version]
    folder.again_later(version.key)
    assert look(folder, clock, 2 * FIRST_PAUSE - 1) == []
    files[0].unlink()
    look(folder, clock)
    (shorter,) = look(folder, clock, 10.0)
    assert len(shorter.files) == 5
    folder.done(version.key)
    assert look(folder, clock, 1e9) == []


def test_the_next_start_reads_nothing_again(folder, clock, incoming, ledger, monkeypatch):
    make_series(incoming / "a")
    (incoming / "a" / "notes.txt").write_text("not DICOM")
    make_series(incoming / os.fsdecode(b"sch\xe4del"), seed=1)
    before = come_to_rest(folder, clock)
    for name in ("series_of", "content_digest"):
        monkeypatch.setattr(folder_module, name, lambda path: pytest.fail(f"{path} is read again"))
    again = Folder(incoming, 10.0, ledger, clock)
    assert look(again, clock) == []
    assert look(again, clock, 10.0) == before


def test_a_folder_that_goes_away_takes_nothing_along(folder, clock, incoming, caplog):
    make_series(incoming / "a")
    (version,) = come_to_rest(folder, clock)
    folder.done(version.key)
    incoming.rename(incoming.with_name("elsewhere"))
    for _ in range(3):
        assert look(folder, clock) == []
    assert caplog.text.count("the watched folder cannot be read (No such file or directory): trying again") == 1
    incoming.with_name("elsewhere").rename(incoming)
    assert come_to_rest(folder, clock) == []


def test_a_version_knows_whether_its_files_are_the_same(folder, clock, incoming):
    files = make_series(incoming / "a")
    (version,) = come_to_rest(folder, clock)
    assert version.unchanged()
    os.utime(files[0])
    assert not version.unchanged()
    (version,) = come_to_rest(folder, clock)
    files[0].unlink()
    assert not version.unchanged()


def test_links_are_followed_once(folder, clock, incoming, tmp_path):
    make_series(tmp_path / "elsewhere")
    (incoming / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(incoming)
    (incoming / "nowhere.dcm").symlink_to(tmp_path / "gone")
    os.mkfifo(incoming / "pipe.dcm")
    assert [len(version.files) for version in come_to_rest(folder, clock)] == [6]

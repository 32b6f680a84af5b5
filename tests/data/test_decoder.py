"""Laws: whatever a codec does to its process costs one file; arrays, words and errors come back as if it ran here."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from crossd.data import decoder, find_series, read_volume, write_dicom_series
from crossd.data.decoder import decode
from crossd.data.dicom.pixels import read_pixels
from crossd.errors import CrossDError
from torch.utils.data import DataLoader, Dataset

RLE = "1.2.840.10008.1.2.5"
CODECS = """
import logging, os, time, warnings, numpy
from crossd.errors import CrossDError
codecs = sys.modules["crossd.data.codecs"] = types.ModuleType("codecs")
def task(function):
    setattr(codecs, function.__name__, function)
@task
def dies(allocate): os.abort()
@task
def hangs(allocate): time.sleep(60)
@task
def eats(allocate): return numpy.zeros(2**36, numpy.uint8)
@task
def refuses(allocate): raise CrossDError("A rule: 'ä' broke it. Remedy.")
@task
def fails(allocate): raise FileNotFoundError("no such thing")
@task
def tells(allocate, first):
    warnings.warn("odd", stacklevel=1)
    logging.getLogger("pydicom").warning("odder %s", 1)
    print("noise")
    array = allocate((2, 3), "<i2")
    array[:] = [first, [4, 5, 6]]
    return array
@task
def loaded(allocate): return numpy.array(["torch" in sys.modules, "monai" in sys.modules])
@task
def whose(allocate): return numpy.array([os.getpid(), os.getppid()])
"""


@pytest.fixture(autouse=True)
def codecs(monkeypatch):
    decoder.stop()
    monkeypatch.setattr(decoder, "_START", decoder._START.replace("\nmain()", f"{CODECS}\nmain()"))
    yield
    decoder.stop()


def ask(name, **options):
    return decode(f"codecs:{name}", ["a.dcm"], 2**20, **options)


def test_an_array_and_what_was_told(caplog):
    with pytest.warns(UserWarning, match=r"^odd$"):
        array = ask("tells", first=[1, 2, 3])
    assert (array.dtype, array.tolist()) == (np.dtype("<i2"), [[1, 2, 3], [4, 5, 6]])
    array += 1  # it is this process's own
    assert [(record.name, record.message) for record in caplog.records] == [("pydicom", "odder 1")]


def test_the_process_is_quick_to_start():
    assert ask("loaded").tolist() == [False, False]


def test_errors_are_those_of_the_function():
    with pytest.raises(CrossDError, match=r"^A rule: 'ä' broke it\. Remedy\.$"):
        ask("refuses")
    with pytest.raises(FileNotFoundError, match="no such thing"):
        ask("fails")


def test_a_death_costs_one_file():
    before = ask("whose")[0]
    with pytest.raises(CrossDError, match=r"must not end .* reads it: 'a.dcm' ended its decoder \(SIGABRT\)"):
        ask("dies")
    assert ask("whose")[0] != before
    os.kill(int(ask("whose")[0]), 9)  # between two files: nobody's fault
    time.sleep(0.2)
    ask("whose")


def test_time_is_bounded(monkeypatch):
    ask("whose")
    monkeypatch.setattr(decoder, "SECONDS", 0.3)
    with pytest.raises(CrossDError, match=r"decoding 'a.dcm' took longer than 0 s and was stopped"):
        ask("hangs")
    monkeypatch.setattr(decoder, "SECONDS", 60)
    ask("whose")


@pytest.mark.skipif(sys.platform != "linux", reason="addresses are bounded on Linux only")
def test_memory_is_bounded():
    with pytest.raises(MemoryError, match="Unable to allocate 64"):
        ask("eats")


class Own(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.array([*ask("whose"), os.getpid()])


def test_each_process_has_its_own():
    mine = ask("whose")
    assert mine[1] == os.getpid()
    rows = [row.tolist() for row in DataLoader(Own(), batch_size=None, num_workers=2)]
    assert all(parent == own for _, parent, own in rows)
    assert len({row[0] for row in rows}) == 2
    assert ask("whose").tolist() == mine.tolist()


@pytest.mark.parametrize("ending", ["os.kill(os.getpid(), 9)", "pass"])
def test_it_ends_with_its_parent(ending):
    packages = {"crossd": Path(decoder.__file__).parents[1], "crossd.data": Path(decoder.__file__).parent}
    code = f"""
import os, sys, types
for name, path in {[(name, str(path)) for name, path in packages.items()]}:  # without torch, which takes seconds
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
from crossd.data import decoder
decoder.start()
print(decoder._decoder.process.pid, flush=True)
{ending}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    number = int(done.stdout)
    for _ in range(100):
        if not os.path.exists(f"/proc/{number}/exe"):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {number} is still there")


def test_no_file_stays_open(tmp_path, axial):
    """Thousands of volumes may be kept, more than the files that a process may open."""
    volume = np.arange(4 * 5 * 3).reshape(4, 5, 3)
    (series,), _ = find_series(write_dicom_series(tmp_path, volume, axial, transfer_syntax=RLE))
    read_pixels(series)
    before = len(os.listdir("/proc/self/fd"))
    kept = [read_pixels(series) for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) == before
    for voxels in kept:
        np.testing.assert_array_equal(voxels, volume)


def test_a_codec_that_dies_is_the_reason_of_its_case(tmp_path, axial, monkeypatch):
    write_dicom_series(tmp_path, np.zeros((4, 5, 3), np.int16), axial, transfer_syntax=RLE)
    broken = "import crossd.data.dicom.stored as stored\nstored.decoded = lambda **_: os.kill(os.getpid(), 11)"
    monkeypatch.setattr(decoder, "_START", decoder._START.replace("\nmain()", f"\n{broken}\nmain()"))
    with pytest.raises(CrossDError, match=r"ended its decoder \(SIGSEGV\)\. It is damaged"):
        read_volume(tmp_path)


def test_an_environment_in_which_it_does_not_start(monkeypatch):
    monkeypatch.setattr(decoder, "_START", "raise SystemExit('no numpy here')")
    with pytest.raises(CrossDError, match=r"it must start: '.*' ended \(1, no numpy here\)"):
        ask("whose")

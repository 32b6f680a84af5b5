"""Law: the measurement finds what is lost or changed, and its table says so; the run itself is slow."""

from __future__ import annotations

import pytest

pytest.importorskip("pynetdicom", reason='pynetdicom is not installed: pip install "crossd[serve]"')

from pathlib import Path

from scripts.benchmarks.receiving.measure import _compare, holds, measure, table
from scripts.benchmarks.receiving.senders import make_slice

ROOT = Path(__file__).resolve().parents[3]
FOUND = {
    "minutes": 10.0,
    "at_once": 100,
    "associations": 800,
    "others": {},
    "accepted": 16000,
    "lost": 0,
    "changed": 0,
    "series": 800,
    "answered": 800,
    "reports": 839,
    "mb_warm": 610.0,
    "mb_most_after": 633.0,
    "course": [(120, 610.0), (600, 633.0)],
    "exit_code": 0,
}


def test_what_is_to_hold():
    assert holds(FOUND)
    for change in ({"lost": 1}, {"changed": 1}, {"answered": 799}, {"reports": 799}, {"mb_most_after": 680.0}):
        assert not holds(FOUND | change)
    assert "| objects lost, objects changed | 0, 0 |" in table(FOUND)
    assert "| 2 min 610, 10 min 633 |" in table(FOUND)


def test_lost_and_changed_objects_are_counted(tmp_path):
    series = "1.2.826.0.1.3680043.10.1.1.1"
    folder = tmp_path / f"{series}.0" / series
    folder.mkdir(parents=True)
    for number, stored in ((0, 0), (1, 2)):
        dataset = make_slice(series, stored)
        dataset.save_as(folder / f"{series}.{number + 1}.dcm", enforce_file_format=True)
    assert _compare(tmp_path, [(series, 0), (series, 1), (series, 2)]) == (1, 1)


@pytest.mark.slow
def test_a_short_run(tmp_path):
    found = measure(ROOT, tmp_path, senders=6, minutes=0.2, pause=0.2, port=11990, say=print)
    assert found["at_once"] == 6
    assert holds(found)

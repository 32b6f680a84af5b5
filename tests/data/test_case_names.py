"""Names of cases and of their files: one function, in linear time."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from crossd.data.names import unique_names
from crossd.inference import CaseDataset


@pytest.mark.parametrize("folder", ["Пациент Исследование/", "検査/", "e\u0301tude/", "plain folder/"])
def test_long_names_in_any_script_fit_a_file_system(tmp_path: Path, folder: str) -> None:
    names = unique_names([folder * 40 + "a", folder * 40 + "b"])
    assert len(set(names)) == 2
    for name in names:
        assert len(os.fsencode(f".{name}.nii.gz.part")) <= 255
        (tmp_path / f"{name}.nii.gz").touch()


def test_a_name_that_is_taken_is_passed_over() -> None:
    assert unique_names(["a", "A", "a_2", "a", "a_2"]) == ["a", "A_2", "a_2_2", "a_3", "a_2_3"]
    assert unique_names(["a/b", "A-b", "a b", "..", "", "c"]) == ["a-b", "A-b_2", "a_b", "case", "case_2", "c"]


@pytest.mark.parametrize("name", ["scan_{}", "scan"])
def test_the_files_of_a_case_are_called_as_the_case_is(name: str) -> None:
    """What `find_cases` has named is not named otherwise again."""
    cases = unique_names(name.format(number) for number in range(20))
    assert CaseDataset([{"case": case, "image": case} for case in cases], dict).names == cases


def test_twice_as_many_cases_are_twice_the_work() -> None:
    """All of one name, which is the worst; a naming that looks at all earlier ones would do four times as much."""

    def work(count: int) -> int:
        calls = Counter[str]()
        sys.setprofile(lambda frame, event, argument: calls.update([event]))
        try:
            unique_names(["the same"] * count)
        finally:
            sys.setprofile(None)
        return calls["c_call"]

    assert 2_000 < work(2_000) < 100_000
    assert work(4_000) < 2.1 * work(2_000)

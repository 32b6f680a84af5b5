"""What is counted of a run over many cases is what was lost, doubled and done twice; a killed run loses nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from crossd.errors import CrossDError

from scripts.benchmarks.many_cases import measure
from scripts.benchmarks.many_cases.cases import make_many
from scripts.benchmarks.many_cases.measure import account, command, describe, holds
from scripts.benchmarks.many_cases.watch import Answers, watch

GOOD = {"processes": 1, "report": True, "cases": 4, "rows": 4, "answers": 4, "lost": 0, "doubled": 0, "failed": 0}
GOOD |= {"out_of_order": 0, "killed": True, "memory": 1.05, "peak_mb": 210.0}


def test_cases_are_links_to_a_few_files(tmp_path):
    images = make_many(tmp_path / "in", 5, distinct=2)
    contents = [path.read_bytes() for path in sorted(images.iterdir())]
    assert contents[0] != contents[1]
    assert contents[2::2] == contents[0:1] + contents[4:5]
    assert (images / "c000004.nii.gz").samefile(images / "c000000.nii.gz")


def test_what_is_counted(tmp_path):
    images = make_many(tmp_path / "in", 4)
    (tmp_path / "out" / "journal").mkdir(parents=True)
    journal = tmp_path / "out" / "journal" / "process_0.jsonl"
    rows = ["case,status", "c000001,ok", "c000000,ok", "c000001,ok", "c000003,failed"]
    (tmp_path / "out" / "predictions.csv").write_text("\n".join(rows) + "\n")
    journal.write_text("{}\n{}\n{")
    answers = Answers(tmp_path / "out")
    assert answers.count() == 2, "the line that is cut does not count"
    journal.write_text("{}\n{}\n{}\n{}\n{}\n")
    assert answers.count() == 5
    found = account(tmp_path / "out", images)
    assert found == {"cases": 4, "rows": 4, "lost": 1, "doubled": 1, "failed": 1, "out_of_order": 1, "answers": 5}


def test_what_holds():
    assert holds(GOOD)
    assert describe(GOOD).endswith("210 MB at most, 1.050 of a run over 100 cases; holds")
    for wrong in ({"lost": 1}, {"answers": 5}, {"killed": False}, {"memory": 1.11}, {"out_of_order": 1}):
        assert not holds({**GOOD, **wrong})
    assert "DOES NOT HOLD" in describe({**GOOD, "doubled": 1})


def test_the_command_is_that_of_a_user(root):
    one, two = (command(root / "configs", {"resume": True}, processes, restarts=1) for processes in (1, 2))
    assert one[1:] == ["-m", "monai.bundle", "run", "--config_file", str(root / "configs" / "inference.json"), *one[6:]]
    assert one[6:] == two[-2:] == ["--resume", "True"]
    assert two[two.index("--max_restarts") + 1] == "1"
    assert "multi_gpu_inference.json" in two[two.index("--config_file") + 1]


def test_a_run_that_hangs_is_ended(tmp_path):
    with pytest.raises(CrossDError, match=r"A run must end, got none after 1 s: see its output"):
        watch(["sleep", "600"], tmp_path / "out", seconds=1)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_run_loses_nothing(root: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(measure, "FEW", 10)
    found = measure.measure(root / "configs", tmp_path, 40, 1, seconds=300, say=lambda text: None)
    assert (found["exit_codes"][0], found["exit_codes"][1]) == (-9, 0)
    assert holds({**found, "memory": 1.0})

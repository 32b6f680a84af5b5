"""Runs over cases that are killed, resumed and shared by several processes end as one that was left alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from crossd.report.run_pages import pieces

from scripts.benchmarks.many_cases.cases import make_many
from scripts.benchmarks.many_cases.measure import account

from .configs import CONFIGS, csv_rows
from .drivers import drive
from .many_cases import answers, make_model, run_and_kill_one, torchrun

CASES, BAD = 14, "c000005"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`in` with 14 cases, of which one is cut, and `model.pt`."""
    folder = tmp_path_factory.mktemp("many")
    make_many(folder / "in", CASES)
    (folder / "in" / f"{BAD}.nii.gz").write_bytes(b"\x1f\x8b cut")
    make_model(folder / "model.pt")
    return folder


def step(
    place: Path,
    output: str,
    processes: int = 1,
    kill: tuple[int, str, int] | None = None,
    config: str = "inference",
    environment: dict[str, str] | None = None,
    report_cases: int = 6,
    **more: Any,
) -> dict:
    """What `process_driver.py` runs; `kill` is the rank, when, and the how-manieth time."""
    overlay = ["multi_gpu_inference"] if processes > 1 else []
    options = {"images": place / "in", "weights": place / "model.pt", "report_cases": report_cases, "report_slices": 3}
    return {
        "configs": [CONFIGS / f"{name}.json" for name in (config, *overlay)],
        "workflow_type": "inference",
        "options": {**options, "output_dir": place / output, **more},
        "processes": processes,
        "environment": environment or {},
        "log": place / f"{output}.log",
        **({"kill": dict(zip(("rank", "when", "count"), kill, strict=True))} if kill else {}),
    }


def ends_of(place: Path, steps: dict[str, list[dict]]) -> dict[str, list[list[int]]]:
    """How the processes of each step ended."""
    codes = iter(drive("process_driver.py", place, [one for several in steps.values() for one in several]))
    return {name: [next(codes) for _ in several] for name, several in steps.items()}


RESTARTED = {"TORCHELASTIC_RESTART_COUNT": "1", "TORCHELASTIC_MAX_RESTARTS": "3"}


@pytest.fixture(scope="module")
def runs(place: Path) -> dict[str, list[list[int]]]:
    """The same cases in several ways; how the processes of each ended."""
    steps = {
        "whole": [step(place, "whole")],
        "killed": [
            step(place, "killed", kill=(0, "after a line", 3)),
            step(place, "killed", kill=(0, "half of a line written", 2), resume=True),
            step(place, "killed", kill=(0, "before a rename", 7), resume=True),
            step(place, "killed", resume=True),
        ],
        "two": [step(place, "two", 2)],
        "elastic": [
            step(place, "elastic", 2, kill=(1, "half of a line written", 3)),
            step(place, "elastic", 2, environment=RESTARTED),
        ],
        "fewer": [step(place, "fewer", 2, kill=(0, "after a line", 4)), step(place, "fewer", resume=True)],
    }
    return ends_of(place, steps)


def rows_of(page: Path) -> list[bytes]:
    found = sorted(pieces([page]).values(), key=lambda piece: piece.number)
    assert [piece.number for piece in found] == list(range(1, len(found) + 1))
    return [piece.html(piece.number, names=True) for piece in found]


def expected_answers(folder: Path) -> dict[str, Any]:
    """`predictions.json`, with probabilities to 1e-6: on some processors the last bits depend on where memory lies."""
    content = json.loads((folder / "predictions.json").read_text())
    for case in content["cases"]:
        if case["probabilities"] is not None:
            case["probabilities"] = pytest.approx(case["probabilities"], abs=1e-6)
    return content


@pytest.mark.slow
@pytest.mark.parametrize("name", ["killed", "two", "elastic", "fewer"])
def test_every_way_ends_as_the_run_that_was_left_alone(place: Path, runs: dict, name: str) -> None:
    assert runs["whole"] == [[2]]  # one case cannot be read
    one, other = place / "whole", place / name
    assert (other / "predictions.csv").read_bytes() == (one / "predictions.csv").read_bytes()
    assert json.loads((other / "predictions.json").read_text()) == expected_answers(one)
    maps = [{path.name: path.read_bytes() for path in (folder / "evidence").iterdir()} for folder in (one, other)]
    assert maps[0].keys() == maps[1].keys()
    assert rows_of(one / "report.html") == rows_of(other / "report.html")
    assert sum(b"<figure " in row for row in rows_of(other / "report.html")) == 6
    head = (other / "report.html").read_text().partition("<table")[0]
    assert re.search(rf"<!--ok-->{CASES - 1} .*<!--failed-->1 ", head, re.S)
    found = account(other, place / "in")
    assert found == {"cases": 14, "rows": 14, "lost": 0, "doubled": 0, "failed": 1, "out_of_order": 0, "answers": 14}
    assert not list((other / "journal").glob("report_*"))


@pytest.mark.slow
def test_they_were_killed_and_none_did_a_case_twice(place: Path, runs: dict) -> None:
    assert runs["killed"] == [[-9], [-9], [-9], [2]]
    assert runs["two"] == [[2, 0]]  # the first process says that a case failed
    assert runs["elastic"][0][1] == -9
    assert runs["elastic"][1] == [0, 0]  # a case that failed is no reason to start again
    assert "the exit code does not say so" in (place / "elastic.log").read_text()
    assert runs["fewer"][0][0] == -9
    assert runs["fewer"][1] == [2]
    for name in ("two", "elastic"):  # both had their share
        assert all(path.stat().st_size for path in (place / name / "journal").glob("process_*.jsonl"))
    starts = {
        json.loads(line)["start"]
        for line in (place / "killed" / "journal" / "process_0.jsonl").read_text().splitlines()
    }
    assert starts == {1, 2, 3, 4}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_torch_elastic_starts_a_killed_process_again(place: Path) -> None:
    images, log = make_many(place / "sixty", 60), place / "torchrun_real.log"
    options = {"images": images, "weights": place / "model.pt", "output_dir": place / "torchrun"}
    code = run_and_kill_one(torchrun("inference", options), log, lambda: answers(place / "torchrun") >= 15)
    assert code == 0, log.read_text()
    found = account(place / "torchrun", images)
    assert (found["rows"], found["lost"], found["doubled"], found["out_of_order"]) == (60, 0, 0, 0)
    assert found["answers"] == 60
    assert {row["status"] for row in csv_rows(place / "torchrun" / "predictions.csv")} == {"ok"}

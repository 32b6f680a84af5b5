"""A folder of the older form becomes one file with the same numbers, and is refused until then."""

from __future__ import annotations

import json
import sys

import pytest
from crossd.errors import CrossDError

from scripts.benchmarks.runs.convert import convert, main
from scripts.benchmarks.runs.grid import Block, Cell
from scripts.benchmarks.runs.lines import read_lines
from scripts.benchmarks.runs.records import recorded
from scripts.benchmarks.transfer import Results, recommend

BLOCK = Block(Cell("vesselmnist3d", "probe", 0.1), 10)
RUN = {"set": "vesselmnist3d", "protocol": "probe", "fraction": 0.1, "seed": 10, "val": {"auc": 0.1 + 0.2}}
RUN |= {"test": {"labels": "01", "probabilities": [0.1, 0.30000000000000004]}, "seconds": 46.0}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.fixture
def folder(tmp_path):
    """Two runs as they were stored before."""
    folder = tmp_path / "cpu"
    write(folder / "recipe.json", {"width": 16})
    write(folder / "inputs.json", {"set vesselmnist3d": "1"})
    write(folder / "recommended.json", {"method": "rest", "validation": {"rest": 0.3}, "runs": 1})
    for method in ("rest", "raw"):
        write(folder / "vesselmnist3d" / "probe_10" / f"seed10_{method}.json", {**RUN, "method": method})
    return folder


def test_the_same_numbers_are_read(folder):
    with pytest.raises(
        CrossDError, match=r"is a folder of the older form.* python -m scripts\.benchmarks\.runs\.convert"
    ):
        Results(folder)
    with pytest.raises(CrossDError, match=rf"Results are one file, {folder}\.jsonl\.gz; {folder} is a folder"):
        Results(f"{folder}.jsonl.gz")
    results = Results(convert(folder))
    assert (results.recipe, results.head["inputs"]) == ({"width": 16}, {"set vesselmnist3d": "1"})
    assert results.runs() == [(BLOCK, "raw"), (BLOCK, "rest")]
    assert {**results.read(BLOCK, "raw"), "test": results.test_of(BLOCK, "raw")} == {**RUN, "method": "raw"}
    chosen = recommend(results, ["raw"])
    assert chosen.method == "rest", "it was chosen before"
    assert results.read_test(BLOCK, "raw", chosen).labels.tolist() == [0, 1]


def test_reports_keep_their_order_and_the_table_leaves_some_out(tmp_path):
    folder = tmp_path / "pretraining"
    for name in ("shift-wide", "shift", "not_chosen/six_epochs"):
        write(folder / f"{name}.json", {"of": name})
    path = convert(folder)
    assert recorded(path, lambda name, report: (name, report["of"]), "report", "") == [
        ("shift-wide", "shift-wide"),
        ("shift", "shift"),
    ]
    assert read_lines(path)[-1] == {"name": "six_epochs", "table": False, "report": {"of": "not_chosen/six_epochs"}}


def test_the_command(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["convert", str(folder)])
    assert main() == 0
    assert f"{folder}.jsonl.gz holds what {folder} does" in capsys.readouterr().out
    assert main() == 1
    assert f"A folder is converted once; {folder}.jsonl.gz is there" in capsys.readouterr().err


def test_what_cannot_be_converted(folder, tmp_path):
    with pytest.raises(CrossDError, match=r"A folder of results holds JSON files; .*nowhere has none"):
        convert(tmp_path / "nowhere")
    run = folder / "vesselmnist3d" / "probe_10" / "seed10_raw.json"
    write(run, {**RUN, "method": "raw", "seed": 3})
    with pytest.raises(CrossDError, match=r"lies where its content says; .*seed10_raw\.json holds .*'seed': 3"):
        convert(folder)
    run.write_text("{")
    with pytest.raises(CrossDError, match=r"A result must be JSON; .*seed10_raw\.json is not"):
        convert(folder)
    assert not (tmp_path / "cpu.jsonl.gz").exists()

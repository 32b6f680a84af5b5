"""Sets are found by name, with their own options only; the script is a thin command over that."""

from __future__ import annotations

import runpy
import sys

import pytest
from crossd.data.sets import DATASETS, prepare_datalist
from crossd.errors import CrossDError

PAPER = {  # arXiv 2411.02441v4, Table V, and those of Table IV that have a name here
    "brats21": (585, (3, 96, 96, 96), (0, 22016), 2),
    "busv": (186, (1, 96, 96, 96), (0, 255), 2),
    "fracturemnist3d": (1370, (1, 64, 64, 64), (0, 255), 3),
    "lung-adenocarcinoma": (1050, (1, 128, 128, 128), (-1450, 3879), 3),
    "mosmed": (200, (1, 128, 128, 64), (0, 1), 2),
    "synapsemnist3d": (1759, (1, 64, 64, 64), (0, 255), 2),
    "vesselmnist3d": (1908, (1, 64, 64, 64), (0, 255), 2),
    "ixi": (561, (2, 160, 192, 224), (0, 255), 2),
    "bloodmnist": (17092, (224, 224, 3), (0, 255), 8),
    "breastmnist": (780, (224, 224, 1), (0, 255), 2),
    "dermamnist": (10015, (224, 224, 3), (0, 255), 7),
    "organcmnist": (23582, (224, 224, 1), (0, 255), 11),
    "organsmnist": (25211, (224, 224, 1), (0, 255), 11),
    "pneumoniamnist": (5856, (224, 224, 1), (0, 255), 2),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_tables_are_stated(name):
    row = DATASETS[name].facts.paper
    assert (row.count, row.size, row.value_range, row.classes) == PAPER[name]
    assert row.classes == len(DATASETS[name].facts.class_names)


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_says_how_to_get_it(name):
    facts = DATASETS[name].facts
    assert facts.name == name
    assert all((facts.title, facts.task, facts.licence, facts.get))
    assert facts.address.startswith("http") or name == "class-folders"
    message = str(facts.missing("something", "somewhere"))
    assert facts.get in message
    assert f"Official address: {facts.address}" in message


def test_refused(tmp_path):
    with pytest.raises(CrossDError, match=r"`dataset` must be one of .*; got 'brats'\. Did you mean 'brats21'"):
        prepare_datalist("brats", tmp_path)
    with pytest.raises(CrossDError, match=r"A fold is one of several, got --fold 0 alone\. Add --folds 5"):
        prepare_datalist("mosmed", tmp_path, fold=0)
    with pytest.raises(CrossDError, match="Options of mosmed: task; got size"):
        prepare_datalist("mosmed", tmp_path, size=3)


def test_the_script(release, root, tmp_path, rows, monkeypatch, capsys):
    """By default into `data/<name>` of the working directory."""
    made = release("mosmed")
    monkeypatch.chdir(tmp_path)
    script = str(root / "scripts" / "prepare_datalist.py")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(script, run_name="__main__")
        return ended.value.code, capsys.readouterr()

    code, shown = run("--dataset", "mosmed", "--root", str(made))
    assert (code, shown.out) == (0, "15 cases; labels: data/mosmed/labels.csv\n")
    code, _ = run("--dataset", "mosmed", "--root", str(made), "--folds", "3", "--fold", "1", "--output_dir", "fold")
    splits = [row["split"] for row in rows(tmp_path / "fold" / "labels.csv")]
    assert {split: splits.count(split) for split in set(splits)} == {"train": 5, "val": 5, "test": 5}
    code, shown = run("--dataset", "mosmed", "--root", "nowhere")
    assert code == 1
    assert shown.err.startswith("error: MosMedData COVID19_1110 needs studies in two or more of the folders")

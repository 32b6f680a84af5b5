"""Sets are found by name, with their own options only; the script is a thin command over that."""

from __future__ import annotations

import runpy
import sys

import pytest
from crossd.data.sets import DATASETS, prepare_datalist
from crossd.errors import CrossDError


@pytest.mark.parametrize("name", DATASETS)
def test_every_set_says_how_to_get_it(name):
    facts = DATASETS[name].facts
    assert facts.name == name
    assert all((facts.title, facts.task, facts.licence, facts.get))
    assert facts.address.startswith("http") or name == "class-folders"
    message = str(facts.missing("something", "somewhere"))
    assert facts.get in message
    assert f"Official address: {facts.address}" in message
    assert facts.paper is None or facts.paper.classes == len(facts.class_names)


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

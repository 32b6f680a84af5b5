"""Laws of `crossd plan`: it reads each case once, tells what is wrong with it, and writes what training takes."""

from __future__ import annotations

import csv

import nibabel as nib
import numpy as np
import pytest
import yaml
from crossd.bundle import own_root
from crossd.cli import main
from crossd.cli.planned import planned
from crossd.errors import CrossDError
from crossd.options.declared import declared
from crossd.plan import read_plan


@pytest.fixture
def scans(tmp_path):
    """Eight CT-like volumes of 5 mm slices, of which one is a copy and one damaged, and their labels."""
    folder = tmp_path / "scans"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for number in range(8):
        voxels = rng.integers(-1000, 1500, (40, 40, 8)).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 5.0, 1.0])), folder / f"{number}.nii.gz")
        rows.append((f"{number}.nii.gz", "ill" if number % 2 else "well", "train" if number < 4 else "test"))
    (folder / "7.nii.gz").write_bytes((folder / "1.nii.gz").read_bytes())
    (folder / "6.nii.gz").write_bytes(b"")
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label", "split"), *rows])
    return folder


def plan(scans, *more):
    arguments = ["plan", "--labels", str(scans / "labels.csv"), "--weights", "none", "--output_dir", str(scans / "p")]
    return main([*arguments, "--device", "cpu", *more])


def test_it_says_what_it_found_and_writes_a_config(scans):
    assert plan(scans) == 0
    found = yaml.safe_load((scans / "p" / "plan.yaml").read_text())
    assert found["spacing"] == [5.0, 2.0, 2.0]
    assert found["roi_size"] == [8, 40, 40]
    assert found["intensity"]["mode"] == "window"
    assert read_plan(scans / "p" / "plan.yaml") == found
    assert {*found} <= {*declared("train")}
    page = (scans / "p" / "report.html").read_text()
    assert "7 of 8 cases can be read" in page
    assert "6 cannot be read: An image file must not be empty" in page
    assert "1, 7 have equal voxels; they are in test and " in page
    assert page.count("data:image/jpeg") == 7 * 3
    with (scans / "p" / "cases.csv").open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert rows["0"]["shape"] == "8×40×40"
    assert rows["6"]["reason"]


@pytest.mark.slow
def test_what_was_looked_at_is_not_read_again(scans, monkeypatch):
    assert plan(scans) == 0
    before = (scans / "p" / "cases.csv").read_text()
    damaged = "6"

    def look_again(name, *arguments):
        assert name == damaged
        raise CrossDError("An image file must not be empty")

    monkeypatch.setattr("crossd.plan.case_facts.facts_of", look_again)
    (scans / "p" / "cases.csv").unlink()
    monkeypatch.setattr("crossd.plan.running.write_page", lambda *arguments: None)
    assert plan(scans) == 0
    after = (scans / "p" / "cases.csv").read_text()
    assert [line[:30] for line in after.splitlines()] == [line[:30] for line in before.splitlines()]


def test_volumes_without_labels(scans):
    assert main(["plan", str(scans), "--weights", "none", "--output_dir", str(scans / "p")]) == 0
    assert "epochs" not in read_plan(scans / "p" / "plan.yaml")


def test_training_takes_a_plan_where_no_card_fits(scans, capsys):
    labels = {"labels": str(scans / "labels.csv"), "output_dir": str(scans / "run")}
    options = declared("train")
    made = planned({**labels, "weights": "none", "epochs": 3}, "$the bundle", options, None, own_root(), configs=False)
    assert made["roi_size"] == [8, 40, 40]
    assert "epochs" not in made  # which was typed
    assert f"settings are those of {scans / 'run' / 'plan' / 'plan.yaml'}" in capsys.readouterr().out
    assert planned({**labels, "spacing": None}, "$the bundle", options, None, own_root(), configs=False) == {}
    assert planned(labels, "$the bundle", options, None, own_root(), configs=True) == {}
    shipped = {**labels, "weights": str(own_root() / "models" / "model.pt")}
    assert planned(shipped, "$the bundle", options, None, own_root(), configs=False)["spacing"] == [5.0, 2.0, 2.0]
    assert "does not fit these cases: its intensities are scaled by range, not by window" in capsys.readouterr().out


def test_a_plan_that_is_none(scans, capsys):
    assert main(["train", "--labels", "l.csv", "--plan", str(scans / "0.nii.gz")]) == 1
    assert "error: A plan is YAML that `crossd plan` writes" in capsys.readouterr().err

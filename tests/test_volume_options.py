"""`volume` and `cache_dir` in the configs, as MONAI runs them: a second run and a second epoch decode nothing."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from crossd.data import reading
from crossd.data.nifti import write_nifti
from crossd.data.phantoms import vessel_phantom

from .configs import csv_rows, refused, run
from .many_cases import make_model

pytestmark = pytest.mark.slow  # whole runs

SMALL = {"depth": 10, "width": 2, "roi_size": [16, 16, 16], "batch_size": 2, "tensorboard": False, "num_workers": 0}


@pytest.fixture
def reads(monkeypatch):
    found = []
    read = reading.read_volume
    monkeypatch.setattr(reading, "read_volume", lambda *given: (found.append(given[0]), read(*given))[1])
    return found


def rows(folder):
    return [
        {key: value for key, value in row.items() if key != "source"} for row in csv_rows(folder / "predictions.csv")
    ]


def test_inference(tmp_path, reads, monkeypatch):
    monkeypatch.chdir(tmp_path)
    several = np.stack([vessel_phantom(seed, True, 20).astype(np.int16) for seed in range(2)], -1)
    (tmp_path / "scans").mkdir()
    small = {"weights": make_model(tmp_path / "model.pt"), "report": False}
    nib.save(nib.Nifti1Image(several, np.eye(4)), tmp_path / "scans" / "a.nii.gz")
    answers = []
    for number, options in enumerate(({}, {"cache_dir": "cache"}, {"cache_dir": "cache"})):
        run("inference", images="scans", output_dir=f"out{number}", volume=1, **small, **options)
        answers.append(rows(tmp_path / f"out{number}"))
    assert answers[0][0]["status"] == "ok"
    assert answers[0] == answers[1] == answers[2]
    assert len(reads) == 2
    evidence = [(tmp_path / f"out{number}" / "evidence" / "a.nii.gz") for number in range(3)]
    for other in evidence[1:]:
        np.testing.assert_array_equal(nib.load(other).get_fdata(), nib.load(evidence[0]).get_fdata())
    (tmp_path / "table.csv").write_text("image\nscans/a.nii.gz@1\n")
    run("inference", images="table.csv", output_dir="out3", **small)
    chosen = rows(tmp_path / "out3")[0]
    assert [chosen[key] for key in chosen if "probability" in key] == [
        answers[0][0][key] for key in chosen if "probability" in key
    ]


def test_training_and_evaluation(tmp_path, reads, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["image,label,patient,split"]
    for seed, split in enumerate(["train", "train", "val", "test"]):
        for label in ("healthy", "aneurysm"):
            name = f"{label}{seed}.nii.gz"
            write_nifti(tmp_path / name, vessel_phantom(seed, label == "aneurysm", 16))
            lines.append(f"{name},{label},{name},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    options = {**SMALL, "cache_dir": "cache", "cache_gb": 0, "output_dir": "out", "weights": "none"}
    run("train", labels="labels.csv", epochs=2, **options)
    assert len(reads) == 8  # each once, when it is tried; no epoch after that
    run("train", "evaluate", cache_dir="cache", output_dir="out", tensorboard=False)
    assert len(reads) == 8
    assert (tmp_path / "out" / "evaluation").is_dir()


def test_a_run_is_not_resumed_on_other_volumes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ["image,label,patient,split"]
    for seed, split in enumerate(["train", "train", "val", "test"]):
        for label in ("healthy", "aneurysm"):
            name = f"{label}{seed}.nii.gz"
            both = [vessel_phantom(seed + 4 * number, label == "aneurysm", 16).astype(np.int16) for number in range(2)]
            nib.save(nib.Nifti1Image(np.stack(both, -1), np.eye(4)), tmp_path / name)
            lines.append(f"{name},{label},{name},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    options = {**SMALL, "output_dir": "out", "weights": "none", "labels": "labels.csv", "epochs": 1, "volume": 0}
    run("train", **options)
    run("train", **options)  # is finished already
    for name, before, value in (("volume", 0, 1), ("tilt", "correct", "refuse"), ("series", None, "CT")):
        changed = {**options, name: value}
        refused(
            lambda changed=changed: run("train", **changed),
            "A run is resumed under the settings it was started with, got other ones for out",
            f"{name} was {before!r} and is {value!r}",
        )

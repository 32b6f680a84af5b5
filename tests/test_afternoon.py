"""From a folder of scans and a clinic's table to answers: the five commands, one after the other, as they are typed."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from .commands import python
from .configs import csv_rows

TABLE = ["--labels", "clinic.csv", "--image", "Scan", "--label", "Diagnosis", "--patient", "MRN"]
TINY = "{'backbone':{'depth':10,'width':4},'image_size':16,'volume_size':12}"
HERE = ["--device", "cpu"]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """24 scans of 24 people, every second of whom has a bright cube, and a table with columns that nobody asked for."""
    folder = tmp_path_factory.mktemp("clinic")
    (folder / "data").mkdir()
    rng = np.random.default_rng(0)
    lines = ["MRN,Visit,Scan,Diagnosis,Sex,Age,Remarks"]
    for case in range(24):
        voxels = rng.normal(100, 10, (12, 11, 10)).astype(np.float32)
        if case % 2:
            voxels[3:9, 2:8, 2:8] += 80
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 1.5, 1])), folder / "data" / f"s{case:02}.nii.gz")
        lines.append(
            f"{1000 + case},1,data/s{case:02}.nii.gz,{['well', 'ill'][case % 2]},{'FM'[case % 3 == 0]},{40 + case},"
        )
    (folder / "clinic.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def typed(clinic):
    """Types a command in the folder of the table; it ends well."""

    def type_(*words):
        assert python("-m", "crossd.cli", *words, cwd=clinic) == 0, words

    return type_


@pytest.fixture(scope="module")
def planned(typed, clinic):
    typed("plan", ".", *TABLE, *HERE, "--weights", "none", "--output_dir", "plan")
    return clinic / "plan"


@pytest.fixture(scope="module")
def trained(typed, clinic, planned):
    small = ["--weights", "none", "--depth", "10", "--width", "4", "--epochs", "1", "--batch_size", "8"]
    typed(
        "train", ".", *TABLE, *HERE, *small, "--plan", "plan/plan.yaml", "--tensorboard", "false", "--output_dir", "run"
    )
    return clinic / "run"


def test_a_plan_says_what_is_there(planned):
    assert "roi_size" in (planned / "plan.yaml").read_text()
    assert (planned / "report.html").is_file()
    assert len(csv_rows(planned / "cases.csv")) == 24


def test_a_probe_finds_the_cube(typed, clinic):
    quick = ["--weights", "none", "--network_options", TINY, "--views", "slices", "--repeats", "1", "--folds", "2"]
    draws = ["--strengths", "0.01", "0.1", "--bootstrap_samples", "100"]
    typed("probe", ".", *TABLE, *HERE, *quick, *draws, "--covariates", "Age,Sex", "--output_dir", "probe")
    assert "There is a signal" in json.loads((clinic / "probe" / "metrics.json").read_text())["verdict"]
    assert {row["features"] for row in csv_rows(clinic / "probe" / "results.csv")} >= {"probe", "trivial", "covariates"}


def test_a_run_is_trained_judged_and_answers(typed, clinic, trained):
    typed("evaluate", "run", *HERE, "--by", "Sex", "--bootstrap_samples", "100")
    report = json.loads((trained / "evaluation" / "metrics.json").read_text())
    assert report["classes"] == ["ill", "well"]
    assert (trained / "evaluation" / "evaluation.html").is_file()
    assert (trained / "training.html").is_file()
    few = ["--report_cases", "1", "--report_slices", "3", "--evidence", "windows"]
    typed("predict", "data", "--weights", "run/model.pt", *HERE, *few, "--output_dir", "answers")
    rows = csv_rows(clinic / "answers" / "predictions.csv")
    assert [row["status"] for row in rows] == ["ok"] * 24
    assert {row["predicted_class"] for row in rows} <= {"ill", "well"}
    assert (clinic / "answers" / "report.html").is_file()

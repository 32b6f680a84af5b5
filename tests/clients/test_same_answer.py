"""Every client gives the probabilities of `bundle run` for the same DICOM series."""

from __future__ import annotations

import csv
import json

import pydicom
import pytest

from .conftest import probabilities

SERIES = ("made_aneurysm", "made_healthy", "mr_prostate_adc")


@pytest.fixture(params=SERIES)
def scan(request, series):
    if request.param not in series:
        pytest.skip(f"{request.param} not found: set CROSSD_DATA to a folder laid out as described in tests/README.md")
    return request.param


def test_monai_bundle_load(run, from_guide, bundle, series, check, tmp_path):
    code = from_guide("ConfigWorkflow, load", "deploy.md").replace('"scans/a.nii.gz"', "__import__('sys').argv[1]")
    (tmp_path / "guide.py").write_text(f"{code}\nprint('answer', probabilities.tolist())\n")
    for name, path in series.items():
        said = run("zoo", bundle, tmp_path / "guide.py", path, installed=True)
        check("monai.bundle.load", name, json.loads(said.rpartition("answer ")[2]))


@pytest.mark.parametrize("form", ["directory", "model.ts"])
def test_deploy(form, scan, run, from_guide, bundle, series, check, found, tmp_path):
    """The directory brings `crossd`; `model.ts` lies alone in a folder, and `crossd` is installed."""
    (tmp_path / "deploy_app.py").write_text(from_guide("deploy_app.py", "deploy.md"))
    model = bundle
    if form == "model.ts":
        (tmp_path / "alone").mkdir()
        model = tmp_path / "alone" / "model.ts"
        model.write_bytes((bundle / "models" / "model.ts").read_bytes())
    options = ["--input", series[scan], "--model", model, "--output", tmp_path / "out"]
    run("deploy", tmp_path, "deploy_app.py", *options, installed=form == "model.ts", timeout=300)
    answer = json.loads((tmp_path / "out" / "probabilities.json").read_text())
    assert list(answer) == ["healthy", "aneurysm"]
    check(f"MONAI Deploy, {form}", scan, list(answer.values()))

    (report,) = (tmp_path / "out").glob("*.dcm")
    written, read = pydicom.dcmread(report), pydicom.dcmread(next(series[scan].iterdir()), stop_before_pixels=True)
    assert (written.Modality, written.PatientID) == ("SR", read.PatientID)
    assert written.StudyInstanceUID == read.StudyInstanceUID
    assert f"aneurysm: {answer['aneurysm']:.3f}" in written.ContentSequence[0].TextValue
    found.sentences.append("MONAI Deploy writes a DICOM text report of the same patient and study.")


LABEL = """
import json, sys
from label_tasks import infer_task
task = infer_task(sys.argv[1])
assert task.is_valid() and task.type == "classification"
for path in sys.argv[2:]:
    _, answer = task({"image": path, "device": "cpu"})
    print("answer", json.dumps(answer["prediction"]))
"""


def test_label(run, from_guide, bundle, series, check, tmp_path):
    (tmp_path / "label_tasks.py").write_text(from_guide("label_tasks.py", "deploy.md"))
    (tmp_path / "infer.py").write_text(LABEL)
    said = run("label", tmp_path, "infer.py", bundle, *series.values())
    answers = [json.loads(line[7:]) for line in said.splitlines() if line.startswith("answer ")]
    for name, answer in zip(series, answers, strict=True):
        assert [(entry["idx"], entry["label"]) for entry in answer] == [(0, "healthy"), (1, "aneurysm")]
        check("MONAI Label, BundleInferTask", name, [entry["score"] for entry in answer])


MONAI_ALGO = """
import sys, torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.exchange_object import ExchangeObject
bundle, labels, output_dir = sys.argv[1:]
weights = f"{bundle}/models/model.pt"
options = {"labels": labels, "output_dir": output_dir, "weights": weights, "split": "val", "recorded_splits": None}
algorithm = MonaiAlgo(bundle, eval_kwargs={**options, "bootstrap_samples": 100}, config_train_filename=None)
algorithm.initialize()
print(algorithm.evaluate(ExchangeObject(weights=torch.load(weights, weights_only=True))).metrics)
"""


def test_monai_algo(run, bundle, series, check, tmp_path):
    """The federated client evaluates the series; its report holds their probabilities."""
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = [(name, path, ("healthy", "aneurysm")["aneurysm" in name], "val") for name, path in series.items()]
        csv.writer(file).writerows([["case", "image", "label", "split"], *rows])
    (tmp_path / "site.py").write_text(MONAI_ALGO)
    run("zoo", tmp_path, "site.py", bundle, tmp_path / "labels.csv", tmp_path / "out", installed=True)
    with (tmp_path / "out" / "evaluation" / "predictions.csv").open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    for name in series:
        check("MonaiAlgo", name, probabilities(rows[name]))

"""The bundle's `--series` and `--tilt`, and what a run says of entries that are no scans."""

from __future__ import annotations

import json

import numpy as np
import pydicom
import pytest
import torch
from crossd.checkpoints import save_checkpoint
from crossd.data import write_dicom_series
from crossd.inference import network_from_card
from monai.bundle import ConfigParser

from . import configs
from .configs import csv_rows

pytestmark = pytest.mark.slow  # whole runs

SHEARED = np.array([[-1, 0, 0, 0], [0, -1, 0.5, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]])


@pytest.fixture
def card(root):
    card = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))["card"]
    card.pop("scope", None)  # of the shipped network
    card["network"] = {"spatial_dims": 3, "in_channels": 1, "num_classes": 2, "depth": 10, "width": 4}
    card["input"] |= {"roi_size": [32, 32, 32], "spacing": None}
    return card


@pytest.fixture
def scans(tmp_path):
    """A straight series, a tilted one, a localizer and a report, without endings."""
    volume = np.random.default_rng(0).integers(0, 100, (12, 10, 8)).astype(np.int16)
    folder = tmp_path / "scans"
    straight = write_dicom_series(folder / "a", volume, np.diag([-1.0, -1, 2, 1]), description="T1 straight")
    write_dicom_series(folder / "b", volume, SHEARED, description="head tilted", modality="CT")
    write_dicom_series(folder / "c", volume, np.diag([-1.0, -1, 2, 1]), description="Scout")
    report = pydicom.dcmread(straight[0])
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.SeriesDescription = "Findings"
    del report.Rows, report.PixelData
    report.save_as(folder / "report.dcm")
    return folder


def run(root, tmp_path, card, images, **options):
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "model.pt", network_from_card(card), card=card)
    options |= {"output_dir": tmp_path / "out", "weights": tmp_path / "model.pt", "backend": "eager"}
    made = configs.run("inference", images=images, **options)
    try:
        made.finalize()
        code = 0
    except SystemExit as end:
        code = end.code
    rows = {row["case"]: row for row in csv_rows(tmp_path / "out" / "predictions.csv")}
    cases = json.loads((tmp_path / "out" / "predictions.json").read_text(encoding="utf-8"))["cases"]
    assert [case["case"] for case in cases] == list(rows)
    return rows, code


def test_what_is_no_scan_is_skipped_and_changes_no_exit_code(scans, tmp_path, root, card):
    rows, code = run(root, tmp_path, card, scans)
    assert {name: row["status"] for name, row in rows.items()} == {
        "a-1-T1_straight": "ok",
        "b-1-head_tilted": "ok",
        "c-images_of_localizers": "skipped",
        "report": "skipped",
    }
    assert code == 0
    assert "images of localizers, 8 in" in rows["c-images_of_localizers"]["reason"]
    assert "sheared by 14.0° (gantry tilt)" in rows["b-1-head_tilted"]["reason"]
    assert "resampled along the shear" in rows["b-1-head_tilted"]["reason"]


def test_a_tilt_can_be_refused(scans, tmp_path, root, card):
    rows, code = run(root, tmp_path, card, scans, tilt="refuse")
    assert (rows["a-1-T1_straight"]["status"], rows["b-1-head_tilted"]["status"], code) == ("ok", "failed", 2)
    assert "where a tilt is refused" in rows["b-1-head_tilted"]["reason"]


@pytest.mark.parametrize(("series", "case"), [("*straight", "a-1-T1_straight"), ("scout", "c-1-Scout")])
def test_a_series_is_chosen(scans, tmp_path, root, card, series, case):
    rows, code = run(root, tmp_path, card, scans, series=series)
    assert (list(rows), code) == ([case], 0)


def test_a_run_of_nothing_but_skipped_entries_ends_with_1(scans, tmp_path, root, card):
    rows, code = run(root, tmp_path, card, scans / "c")
    assert ([row["status"] for row in rows.values()], code) == (["skipped"], 1)


def test_a_csv_of_folders(scans, tmp_path, root, card):
    (tmp_path / "cases.csv").write_text("case,image\nall,scans\n")
    rows, code = run(root, tmp_path, card, tmp_path / "cases.csv", series="CT")
    assert (rows["all"]["status"], code) == ("ok", 0)
    rows, code = run(root, tmp_path, card, tmp_path / "cases.csv", series="CT", tilt="refuse")
    assert (rows["all"]["status"], code) == ("failed", 1)


@pytest.mark.parametrize("names", [["train"], ["train", "evaluate"]])
def test_training_and_evaluation_read_the_same_way(root, names, card, scans, tmp_path):
    parser = ConfigParser()
    parser.read_config([str(root / "configs" / f"{name}.json") for name in names])
    parser.update({"series": "CT", "tilt": "refuse", "card": card, "bundle_root": str(root)})
    prepare = parser.get_parsed_content("preprocessing")
    with pytest.raises(RuntimeError) as error:
        prepare({"image": str(scans)})
    assert "sheared by 14.0°" in str(error.value.__cause__)
    parser.update({"tilt": "correct"})
    parser.parse(reset=True)
    assert parser.get_parsed_content("preprocessing")({"image": str(scans)})["image"].shape == (1, 8, 14, 12)

"""Masks come back onto the input's own grid, with the classes' values, and are measured there."""

from __future__ import annotations

import json
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch
from crossd.case_run import CaseRun
from crossd.data import LoadMaskd, preprocessing
from crossd.errors import CrossDError
from crossd.inference import Case
from crossd.inference.answer import Explanation
from crossd.segmentation import (
    Segmentation,
    SegmentationReport,
    case_metrics,
    mask_answers,
    mask_in_input_space,
    summarise,
)
from crossd.segmentation.mask_answers import checked

from ..configs import csv_rows
from ..evaluators import evaluator

NAMES, VALUES = ["background", "low", "high"], [0, 1, 4]
CARD = {"class_names": NAMES, "label_values": VALUES}
AFFINES = {
    "RAS": np.diag([1.0, 2, 1.5, 1]),
    "flipped": np.array([[0, 0, -2.0, 30], [-1.5, 0, 0, 4], [0, 1, 0, -7], [0, 0, 0, 1]]),
    "turned": np.array([[0.8, -0.6, 0, 1], [0.6, 0.8, 0, 2], [0, 0, 3, 3], [0, 0, 0, 1.0]]),
}


@pytest.fixture
def read(tmp_path, card_input):
    """A case as the evaluator sees it, its true mask as stored, and logits that say the mask on the network's grid."""

    def make(affine, **changes):
        rng = np.random.default_rng(1)
        mask = np.zeros((9, 11, 12), np.uint8)
        mask[1:5, 2:9, 3:8], mask[5:8, 4:10, 6:11] = 1, 4
        for name, voxels in (("image", rng.normal(size=mask.shape).astype(np.float32)), ("mask", mask)):
            nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / f"{name}.nii.gz")
        item = {"image": [str(tmp_path / "image.nii.gz")], "mask": str(tmp_path / "mask.nii.gz")}
        item = LoadMaskd(VALUES)(preprocessing({**card_input, **changes})(item))
        logits = 10 * torch.nn.functional.one_hot(torch.as_tensor(item["label"])[0].long(), 3).movedim(-1, 0).float()
        given = {"patient": "p", "mask": item["mask"]}
        return Case(0, "a", "a", "0", "a", given, item["image"]), mask, logits

    return make


@pytest.mark.parametrize("plane", ["axial", "coronal", "acquired"])
@pytest.mark.parametrize("name", AFFINES)
def test_there_and_back_is_the_same_mask(read, name, plane):
    case, mask, logits = read(AFFINES[name], plane=plane)
    found, affine = mask_in_input_space(logits, case.image)
    assert np.array_equal(np.array(VALUES)[found], mask)
    assert np.allclose(affine, AFFINES[name])
    assert found.dtype == np.uint8


@pytest.mark.parametrize("name", AFFINES)
def test_another_spacing_and_back_keeps_the_shape(read, name):
    case, mask, logits = read(AFFINES[name], spacing=[1.0, 0.8, 1.2])
    found, _ = mask_in_input_space(logits, case.image)
    rows = case_metrics(found, np.searchsorted(VALUES, mask), NAMES, (1, 1, 1))
    assert min(row["dice"] for row in rows.values()) > 0.75  # voxels of 2 mm and more, nearest there and linear back


def test_metrics_of_a_box_moved_by_a_voxel_of_two_millimetres():
    true, moved = np.zeros((6, 6, 6), np.uint8), np.zeros((6, 6, 6), np.uint8)
    true[1:3, 1:3, 1:3], moved[2:4, 1:3, 1:3] = 1, 1
    row = case_metrics(moved, true, ["background", "box"], (2.0, 1.0, 1.0))["box"]
    # half of each border lies on the other one, half is 2 mm away
    assert row == pytest.approx({"dice": 0.5, "surface_distance": 1.0, "hausdorff_95": 2.0})
    along = case_metrics(moved, true, ["background", "box"], (1.0, 2.0, 2.0))["box"]
    assert along["hausdorff_95"] == pytest.approx(1.0)


def test_metrics_do_not_depend_on_what_lies_around():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 3, (2, 5, 6, 4)).astype(np.uint8)
    wide = np.pad(small, ((0, 0), (7, 1), (2, 5), (3, 3)))
    alone, within = (case_metrics(*pair, NAMES, (1, 2, 3)) for pair in (small, wide))
    assert all(within[name] == pytest.approx(alone[name]) for name in ("low", "high"))


def test_metrics_of_what_is_not_there():
    none, some = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
    some[1, 1, 1] = 1
    names = ["background", "box"]
    assert np.isnan(case_metrics(none, none, names, (1, 1, 1))["box"]["dice"])
    for pair in ((some, none), (none, some)):
        row = case_metrics(*pair, names, (1, 1, 1))["box"]
        assert row["dice"] == 0
        assert np.isnan(row["surface_distance"])
        assert np.isnan(row["hausdorff_95"])


def report_on(handler, cases, outputs):
    engine = SimpleNamespace(state=SimpleNamespace(batch=cases, output=outputs))
    handler.compare(engine)
    handler.write(engine)


def test_writes_masks_with_the_values_of_the_classes_and_their_volumes(read, tmp_path):
    case, mask, logits = read(AFFINES["flipped"])
    found, affine = mask_in_input_space(logits, case.image)
    broken = Case(1, "b", "b", "1", "b", error="unreadable")
    said = iter([{"pred": found, "affine": affine}, {"error": "unreadable"}])
    case_run = CaseRun(tmp_path / "out", Segmentation(CARD))
    evaluator([[case], [broken]], torch.nn.Identity(), case_run, step=lambda engine, batch: [next(said)]).run()
    written, source = nibabel.load(tmp_path / "out" / "masks" / "a.nii.gz"), nibabel.load(tmp_path / "image.nii.gz")
    assert np.array_equal(np.asarray(written.dataobj), mask)
    assert written.get_data_dtype() == np.uint8
    assert np.allclose(written.affine, source.affine)
    for code in ("sform_code", "qform_code", "xyzt_units"):
        assert int(written.header[code]) == int(source.header[code])
    rows = csv_rows(tmp_path / "out" / "segmentations.csv")
    assert list(rows[0]) == [
        *("case", "source", "mask", "voxels_low", "volume_ml_low", "voxels_high", "volume_ml_high", "status", "reason")
    ]
    entries = json.loads((tmp_path / "out" / "segmentations.json").read_text())["cases"]
    assert entries[0]["voxels"] == {"low": (mask == 1).sum(), "high": (mask == 4).sum()}
    assert (entries[1]["mask"], entries[1]["voxels"]) == (None, None)
    assert (rows[0]["status"], rows[1]["status"], rows[1]["reason"]) == ("ok", "failed", "unreadable")
    assert int(rows[0]["voxels_low"]) == (mask == 1).sum()
    assert float(rows[0]["volume_ml_high"]) == pytest.approx((mask == 4).sum() * 3 / 1000)
    with pytest.raises(SystemExit) as ended:
        case_run.exit()
    assert ended.value.code == 2


def test_a_mask_that_cannot_be_written_fails_the_case(read, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mask_answers, "save_map", full)
    case, _, logits = read(AFFINES["RAS"])
    found, affine = mask_in_input_space(logits, case.image)
    answer = Segmentation(CARD).answer(case, {"pred": found, "affine": affine}, Explanation(), tmp_path)
    assert (answer.status, answer.files) == ("failed", {"mask": None})
    assert answer.reason == "the mask was not written: OSError: [Errno 28] No space left on device"


def test_report_counts_what_failed_as_nothing_found(read, tmp_path):
    case, _, logits = read(AFFINES["RAS"])
    found, affine = mask_in_input_space(logits, case.image)
    unread = Case(1, "b", "b", "1", "b", case.given, error="cannot be read")
    unmasked = Case(2, "c", "c", "2", "c", {"mask": "none.nii"}, case.image)
    report = SegmentationReport(tmp_path / "out", CARD, samples=100)
    said = {"pred": found, "affine": affine}
    report_on(report, [case, unread, unmasked], [said, {"error": "cannot be read"}, said])
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert content["mean_dice"]["mean"] == pytest.approx(1 / 3)
    assert content["classes"]["low"]["surface_distance"] == {
        "mean": 0.0,
        "low": None,
        "high": None,
        "cases": 1,
    }  # of one patient
    assert set(content["failed"]) == {"b", "c"}
    rows = csv_rows(tmp_path / "out" / "cases.csv")
    assert [row["dice_high"] for row in rows] == ["1.00000", "0.00000", "0.00000"]
    assert rows[2]["hausdorff_95_low"] == ""
    with pytest.raises(CrossDError, match="An evaluation needs a folder for its report"):
        SegmentationReport(None, CARD)


def test_means_leave_out_what_is_not_defined():
    nan = float("nan")
    rows = [{"box": {"dice": d, "surface_distance": s, "hausdorff_95": nan}} for d, s in ((0.5, 2.0), (nan, nan))]
    found = summarise([{"case": i, "patient": i, "rows": row} for i, row in enumerate(rows)], ["background", "box"])
    assert found["classes"]["box"]["dice"]["mean"] == 0.5
    assert found["classes"]["box"]["hausdorff_95"] == {"mean": None, "low": None, "high": None, "cases": 0}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            torch.zeros(1, 2),
            r"returns logits \(batch, classes, .*\), got \(1, 2\) for .* \(4, 4, 4\)",
        ),
        ([torch.zeros(1, 2, 4, 4, 4)], "got list for a volume"),
        (torch.full((1, 2, 4, 4, 4), float("nan")), "must be finite, got NaN"),
    ],
)
def test_answers_that_are_no_segmentation(answer, message):
    with pytest.raises(CrossDError, match=message):
        checked(answer, torch.zeros(1, 4, 4, 4))

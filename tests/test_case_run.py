"""Many cases, some of them bad: every one gets its row, at once, and the exit code says how it went."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from crossd.case_run import CaseRun
from crossd.errors import CrossDError
from crossd.inference import (
    Accelerated,
    CaseDataset,
    Classification,
    WindowInferer,
    backends,
    classify_cases,
    collate_cases,
)
from crossd.inference.case_dataset import reason
from ignite.engine import Events
from monai.data import DataLoader, MetaTensor
from torch import Tensor, nn

from .configs import csv_rows
from .evaluators import evaluator

CARD = {"task": "multiclass", "class_names": ["healthy", "aneurysm"], "negative_class": 0, "crossd_version": "0.1.0"}
THREE = {"task": "multiclass", "class_names": ["a", "b", "c"], "negative_class": None}
LABELS = {"task": "multilabel", "class_names": ["a", "b", "c"], "negative_class": None}


class MeanLogits(nn.Module):
    """Logits (0, mean, 2 mean, …); refuses windows whose mean is above 50, as a machine out of memory does."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(classes).float())

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1, keepdim=True)
        if float(mean.max()) > 50:
            raise RuntimeError("out of memory")
        return mean * self.scale


def read(item: dict[str, Any]) -> dict[str, Any]:
    """A case's "image" is the value that fills its volume, or what happens to its file."""
    value = item["image"]
    if value == "truncated":
        try:
            raise EOFError("Compressed file ended\nbefore its end")
        except EOFError as error:
            raise RuntimeError("applying transform <LoadImageVolumed>") from error
    if value == "2D":
        raise CrossDError("a volume has three axes, got (64, 64): pass a stack of images")
    image = MetaTensor(torch.full((1, 8, 8, 12), float(value)), affine=torch.eye(4))
    image.meta.update(
        spatial_shape=(8, 8, 12), original_affine=torch.eye(4), warnings=["no affine"] if value == 0.0 else []
    )
    return {"image": image}


def run(
    folder: Path,
    cases: dict[str, Any],
    card: dict[str, Any] = CARD,
    network: nn.Module | None = None,
    **options: Any,
) -> CaseRun:
    data = [{"case": name, "source": f"/data/{name}", "image": image, "warnings": []} for name, image in cases.items()]
    for item in data:
        if item["image"] == "listed":
            item |= {"image": [], "error": "no pixels in /data: remove it"}
    task = Classification(card, options.pop("evidence_class", None), evidence=options.pop("evidence", "auto"))
    case_run = CaseRun(folder, task, **options)
    loader = DataLoader(CaseDataset(data, read), batch_size=1, collate_fn=collate_cases)
    inferer = WindowInferer(8, overlap=0.5, activation="sigmoid" if card["task"] == "multilabel" else "softmax")
    engine = evaluator(loader, network or MeanLogits(len(card["class_names"])), case_run, inferer=inferer)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: whole(folder, engine.state.iteration))
    engine.run()
    return case_run


def rows(folder: Path) -> list[dict[str, str]]:
    return csv_rows(folder / "predictions.csv")


def entries(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "predictions.json").read_text(encoding="utf-8"))["cases"]


def whole(folder: Path, count: int) -> None:
    """Both files are complete after each case, so a run that dies later loses none of them."""
    assert len(rows(folder)) == count
    assert len(entries(folder)) == count


CASES = {"good": 1.0, "cut": "truncated", "flat": "2D", "pixels": "listed", "huge": 100.0, "plain": 0.0}


def test_one_row_per_case_good_or_bad(tmp_path: Path) -> None:
    case_run = run(tmp_path, CASES)
    table = {row["case"]: row for row in rows(tmp_path)}
    assert list(rows(tmp_path)[0]) == [
        *("case", "source", "probability_healthy", "probability_aneurysm", "predicted_class", "threshold"),
        *("scope", "unlike", "status", "reason"),
    ]
    assert list(table) == list(CASES)
    assert {name: row["status"] for name, row in table.items()} == {
        **dict.fromkeys(CASES, "failed"),
        "good": "ok",
        "plain": "ok",
    }
    assert table["good"]["source"] == "/data/good"
    assert float(table["good"]["probability_aneurysm"]) == pytest.approx(float(torch.tensor(1.0).sigmoid()), abs=1e-6)
    assert table["good"]["predicted_class"] == "aneurysm"
    assert table["good"]["reason"] == ""
    assert table["cut"]["reason"] == "EOFError: Compressed file ended before its end"
    assert table["flat"]["reason"] == "a volume has three axes, got (64, 64): pass a stack of images"
    assert table["pixels"]["reason"] == "no pixels in /data: remove it"
    assert table["huge"]["reason"] == "RuntimeError: out of memory"
    assert table["huge"]["probability_aneurysm"] == table["huge"]["predicted_class"] == ""
    assert table["plain"]["reason"] == "no affine"  # a warning
    assert sorted(path.name for path in (tmp_path / "evidence").iterdir()) == ["good.nii.gz", "plain.nii.gz"]
    assert case_run.counts == {"ok": 2, "failed": 4}


def test_the_json_says_more(tmp_path: Path) -> None:
    run(tmp_path, CASES, weights="/models/model.pt")
    document = json.loads((tmp_path / "predictions.json").read_text())
    assert document["model"]["weights"] == "/models/model.pt"
    assert document["model"]["class_names"] == ["healthy", "aneurysm"]
    good, plain = document["cases"][0], document["cases"][-1]
    assert good["windows"] == 2
    assert good["evidence"] == "evidence/good.nii.gz"
    assert good["evidence_class"] == "aneurysm"
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert plain["warnings"] == ["no affine"]
    assert plain["reason"] is None


def test_the_log_names_the_first_that_failed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="CaseRun"):
        run(tmp_path, {"good": 1.0, "flat": "2D"})
    assert "failed: flat: a volume has three axes, got (64, 64): pass a stack of images" in caplog.messages
    assert caplog.messages[-1].startswith("1 of 2 cases done, 1 failed; results are in ")
    caplog.clear()
    run(tmp_path, {f"flat{i}": "2D" for i in range(7)})
    named = [message for message in caplog.messages if message.startswith("failed: ")]
    assert [message.split(":")[1] for message in named] == [f" flat{i}" for i in range(5)]
    assert f"and 2 more, with their reasons in {tmp_path / 'predictions.csv'}" in caplog.messages


@pytest.mark.parametrize(
    ("cases", "code"), [({"a": 1.0}, None), ({"a": 1.0, "b": "2D"}, 2), ({"a": "2D", "b": "truncated"}, 1)]
)
def test_exit_codes(tmp_path: Path, cases: dict[str, Any], code: int | None) -> None:
    case_run = run(tmp_path, cases)
    if code is None:
        assert case_run.exit() is None  # nothing happens to the process
    else:
        with pytest.raises(SystemExit) as exit_:
            case_run.exit()
        assert exit_.value.code == code


@pytest.mark.parametrize(
    ("card", "chosen", "shown"),
    [
        (CARD, None, "aneurysm"),  # the class that is not the negative one, although "healthy" is predicted
        (CARD, "healthy", "healthy"),
        (THREE, None, "a"),  # the predicted one
        (LABELS, "c", "c"),
    ],
)
def test_the_class_a_map_shows(tmp_path: Path, card: dict[str, Any], chosen: str | None, shown: str) -> None:
    run(tmp_path, {"case": -1.0}, card, evidence_class=chosen, evidence="windows")
    (entry,) = entries(tmp_path)
    assert entry["evidence_class"] == shown
    values = np.asarray(nib.load(tmp_path / entry["evidence"]).dataobj)
    np.testing.assert_allclose(values, entry["probabilities"][shown], atol=1e-6)


def test_several_labels(tmp_path: Path) -> None:
    run(tmp_path, {"none": -1.0, "some": 1.0}, {**LABELS, "class_names": ["x", "y", "z"]})
    assert [row["predicted_class"] for row in rows(tmp_path)] == ["x", "x;y;z"]  # x has logit 0, probability 0.5


def test_an_earlier_runs_map_does_not_outlive_its_case(tmp_path: Path) -> None:
    run(tmp_path, {"case": 1.0})
    run(tmp_path, {"case": "2D"})
    assert not (tmp_path / "evidence" / "case.nii.gz").exists()


def test_names_that_are_no_file_names(tmp_path: Path) -> None:
    run(tmp_path, {"a/b": 1.0, "a:b": 1.0, "../up": 1.0, "A_B": 1.0})
    files = [entry["evidence"] for entry in entries(tmp_path)]
    assert files == [f"evidence/{name}.nii.gz" for name in ("a-b", "a_b", "up", "A_B_2")]
    assert all((tmp_path / file).is_file() for file in files)


def test_a_map_that_cannot_be_written_fails_the_case_but_keeps_its_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("crossd.inference.classification.save_map", full)
    run(tmp_path, {"case": 1.0})
    (row,) = rows(tmp_path)
    assert row["status"] == "failed"
    assert row["reason"] == "the evidence map was not written: OSError: [Errno 28] No space left on device"
    assert row["probability_aneurysm"] != ""


def test_a_class_the_model_does_not_have(tmp_path: Path) -> None:
    with pytest.raises(CrossDError, match=r"one of the model's classes \(healthy, aneurysm\), got 'tumour'"):
        Classification(CARD, evidence_class="tumour")


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(CrossDError, match=r"output_dir must be a folder that can be written, got .*out"):
        run(tmp_path / "out", {"case": 1.0})


def test_another_inferer(tmp_path: Path) -> None:
    class Engine:
        inferer = object()

    with pytest.raises(CrossDError, match=r"needs crossd.inference.WindowInferer.*got object"):
        classify_cases(Engine(), [])  # type: ignore[arg-type]


def test_the_reason_is_the_rule_that_was_broken() -> None:
    rule = CrossDError("a rule")
    rule.__cause__ = OSError("underneath")
    wrapped = RuntimeError("applying transform")
    wrapped.__cause__ = rule
    assert reason(wrapped) == "a rule"


def test_a_backend_that_is_refused_ends_the_run_instead_of_failing_every_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "torchscript", lambda plain, example: lambda inputs: (plain(inputs)[0] + 1,))
    network = Accelerated(MeanLogits(2), "torchscript")
    with pytest.raises(
        CrossDError, match=r"backend 'torchscript' must agree .* on the first batch, .*: use backend 'eager'"
    ):
        run(tmp_path, {"cut": "truncated", "a": 1.0, "b": 2.0}, network=network)
    assert [row["case"] for row in rows(tmp_path)] == ["cut"]  # what went before, and not a row for each other case


def test_a_file_name_that_is_no_text_is_shown_by_its_bytes(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.nii")  # Linux takes any bytes for names
    run(tmp_path, {name: 1.0, "after": 1.0})
    first, second = rows(tmp_path)
    assert first["source"].startswith("/data/\\")
    assert first["source"].endswith("ff.nii")
    assert (first["status"], second["status"]) == ("ok", "ok")

"""A case that is unlike the training cases is answered and flagged, wherever the answer is read."""

from __future__ import annotations

import json
import logging

import nibabel
import numpy as np
import pytest
import torch
from crossd.cards.scope_entry import entry_of_scope
from crossd.checkpoints import save_checkpoint
from crossd.data import preprocessing
from crossd.errors import CrossDError
from crossd.inference import WindowInferer, inferer_from_card, network_from_card
from crossd.inference.case_scope import CaseScope
from crossd.training.scope import measured_scope, seen_cases
from monai.data import MetaTensor

from .. import configs
from ..configs import card_input, csv_rows

CARD = {
    "format": 1,
    "task": "multiclass",
    "class_names": ["no", "yes"],
    "negative_class": 0,
    "network": {"spatial_dims": 3, "in_channels": 1, "num_classes": 2, "depth": 10, "width": 4},
    "input": card_input(16, mean=0.3, std=0.3),
    "data": "balls",
}


def ball(path, seed, spacing=1.0, sides=(16, 20, 16)):
    """A ball in faint noise."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*(np.arange(side) - side / 2 for side in sides), indexing="ij"))
    inside = np.sqrt((grid**2).sum(0)) < rng.uniform(4, 6)
    nibabel.save(
        nibabel.Nifti1Image((100 * inside + rng.normal(0, 2, sides)).astype(np.float32), spacing * np.eye(4)), path
    )
    return {"image": [str(path)]}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model of balls with its scope, and another without; 30 balls to train, 12 to validate."""
    folder = tmp_path_factory.mktemp("balls")
    every = [ball(folder / f"b{number:02}.nii.gz", number) for number in range(42)]
    torch.manual_seed(0)
    network = network_from_card(CARD).eval()
    cases = {"train": every[:30], "val": every[30:]}
    scope = measured_scope(seen_cases(CARD, network, cases, preprocessing(CARD["input"]), inferer_from_card(CARD)))
    save_checkpoint(folder / "model.pt", network, card={**CARD, "scope": entry_of_scope(scope)})
    save_checkpoint(folder / "old.pt", network, card=CARD)
    return folder


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """One ball as those of training, one of large voxels, one turned inside out, and what is no volume."""
    folder = tmp_path_factory.mktemp("scans")
    ball(folder / "a_ball.nii.gz", 7)
    ball(folder / "b_coarse.nii.gz", 7, spacing=3.0)
    voxels = np.asarray(nibabel.load(folder / "a_ball.nii.gz").dataobj)
    nibabel.save(nibabel.Nifti1Image(-voxels, np.eye(4)), folder / "c_inverted.nii.gz")
    (folder / "d_cut.nii.gz").write_bytes(b"cut")
    return folder


def run(root, scans, weights, output, **options):
    configs.run("inference", images=scans, weights=weights, output_dir=output, **options)
    return csv_rows(output / "predictions.csv")


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_cases_are_flagged_in_tables_report_and_log(root, made, scans, tmp_path, caplog, backend):
    with caplog.at_level(logging.INFO):
        rows = run(root, scans, made / "model.pt", tmp_path, backend=backend)
    assert [row["scope"] for row in rows] == ["inside", "outside", "outside", ""]
    assert [row["status"] for row in rows] == ["ok"] * 3 + ["failed"]
    assert all(row["predicted_class"] for row in rows[:3])  # answered all the same
    assert float(rows[0]["unlike"]) < 1
    assert [row["unlike"] for row in rows[1:]] == ["1.0000", "1.0000", ""]
    assert "outside of what the model knows: spacing (" in rows[1]["reason"]
    assert "intensities (" in rows[2]["reason"]
    entries = json.loads((tmp_path / "predictions.json").read_text())["cases"]
    assert [(entry["scope"], entry["unlike"]) for entry in entries[2:]] == [("outside", 1.0), (None, None)]
    last = [record.getMessage() for record in caplog.records if record.name == "CaseRun"][-1]
    assert "3 of 4 cases done, 1 failed, 2 outside of what the model knows" in last
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('<b class="outside">outside</b>') == 2
    assert "of 30 training cases; 99 % of 12 validation cases are inside" in page
    assert "inside: " in page


def test_a_resumed_run_keeps_what_was_said(root, made, scans, tmp_path):
    first = run(root, scans, made / "model.pt", tmp_path, report=False)
    (tmp_path / "predictions.csv").unlink()
    assert run(root, scans, made / "model.pt", tmp_path, report=False, resume=True) == first


def test_an_old_card_answers_without(root, made, scans, tmp_path, caplog):
    rows = run(root, scans, made / "old.pt", tmp_path)
    assert {(row["scope"], row["unlike"]) for row in rows} == {("", "")}
    assert [row["status"] for row in rows] == ["ok"] * 3 + ["failed"]
    assert caplog.text.count("the model's card has no scope") == 1
    assert "outside" not in {row["reason"].split(" ")[0] for row in rows}


def test_a_network_that_gives_no_features_is_judged_by_the_input(made, scans, caplog):
    card = torch.load(made / "model.pt", weights_only=True)["card"]
    judge, read = CaseScope(card), preprocessing(card["input"])
    words = [judge(read({"image": str(scans / f"{name}.nii.gz")})["image"]).word for name in ("a_ball", "b_coarse")]
    assert words == ["inside", "outside"]
    assert caplog.text.count("judged by the input alone") == 1


def test_the_scope_of_another_network_is_refused(made):
    judge = CaseScope(torch.load(made / "model.pt", weights_only=True)["card"])
    image = MetaTensor(torch.zeros(1, 16, 16, 16), affine=torch.eye(4))
    with pytest.raises(CrossDError, match=r"belongs to its network: it is of 60 features, the network has 3. Take the"):
        judge(image, torch.zeros(3))


def test_features_of_a_case_are_the_mean_over_its_windows(made):
    """Whatever the backend and the batches."""
    from crossd.inference import Accelerated

    network = network_from_card(CARD).eval()
    volume = torch.rand(1, 1, 16, 40, 16)
    inferer = WindowInferer(16, overlap=0.5, sw_batch_size=3)
    found = [inferer.windows(volume, Accelerated(network, backend)).features for backend in ("eager", "torchscript")]
    with torch.no_grad():
        windows = [network.with_features(volume[:, :, :, start : start + 16])[1][0] for start in (0, 8, 16, 24)]
    for features in found:
        torch.testing.assert_close(features, torch.stack(windows).mean(0), rtol=1e-4, atol=1e-5)
    assert inferer.windows(volume, network).features is None  # a network that runs as it is

"""Training on numbers: the unit changes nothing but the unit, and the configs answer in it."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import torch
from crossd.checkpoints import read_card, read_checkpoint
from crossd.errors import CrossDError
from crossd.export import export_network
from crossd.folds.parting import parted
from crossd.inference import network_from_card
from crossd.networks.ensemble import Ensemble
from crossd.training import loss_of, parameter_groups
from crossd.training.epoch_score import epoch_score
from crossd.training.loss import HybridLoss
from crossd.training.parameter_groups import EPS
from torch import nn

from ..configs import card_input, csv_rows, refused, run

CARD = {"format": 1, "task": "regression", "class_names": ["ml"], "negative_class": None, "metrics": {}}
CARD |= {"network": {"spatial_dims": 3, "in_channels": 1, "num_classes": 1, "depth": 10, "width": 4}}
CARD |= {"input": card_input(8)}


def trained(target, steps=8):
    """What a small network says after some steps of AdamW on a number of this mean and scale."""
    torch.manual_seed(0)
    network = network_from_card({**CARD, "target": target}).eval()
    volumes, numbers = torch.rand(6, 1, 8, 8, 8), torch.linspace(-1, 1, 6)[:, None]
    loss = loss_of("regression", [], ["ml"], target)
    groups = parameter_groups(network, 0.01, weight_decay=0.1, target=target)
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1, eps=EPS)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(network(volumes), target["mean"] + target["scale"] * numbers).backward()
        optimizer.step()
    return (network(volumes).detach() - target["mean"]) / target["scale"]


def test_training_in_another_unit_gives_the_same_answers_in_that_unit():
    """Standardised; in cubic millimetres; in litres: the head moves and decays as far, in scales."""
    standard = trained({"mean": 0.0, "scale": 1.0})
    assert standard.std() > 0.05  # it has learnt something
    for target in ({"mean": 3000.0, "scale": 400.0}, {"mean": 0.003, "scale": 0.0004}):
        torch.testing.assert_close(trained(target), standard, atol=2e-3, rtol=0)


def test_it_starts_at_the_mean_and_only_the_head_has_a_rate_of_its_own():
    torch.manual_seed(0)
    target = {"mean": 3000.0, "scale": 400.0}
    network = network_from_card({**CARD, "target": target}).eval()
    said = network(torch.rand(4, 1, 8, 8, 8))
    assert ((said - 3000).abs() < 1200).all()
    groups = parameter_groups(network, 0.1, 0.5, weight_decay=0.2, target=target)
    assert [(group["lr"], group.get("weight_decay")) for group in groups[-2:]] == [(40, 0.0005), (40, 0.0)]
    assert sum(len(group["params"]) for group in groups) == sum(one.requires_grad for one in network.parameters())
    assert groups[-2]["params"][0] is network.fc.weight


def test_options_of_classes_are_refused():
    for given in ({"label_smoothing": 0.1}, {"class_weights": [1.0]}):
        with pytest.raises(CrossDError, match="class_weights and label_smoothing are of classes, got"):
            loss_of("regression", [], ["ml"], {"scale": 1.0}, **given)
    with pytest.raises(CrossDError, match=r"trained together to tell classes apart, got --task regression\. Leave it"):
        HybridLoss(loss_of("regression", [], ["ml"], {"scale": 1.0}), nn.CrossEntropyLoss())


def test_the_best_epoch_has_the_least_error():
    assert epoch_score({"val_mae": 2.0}, "val_mae") > epoch_score({"val_mae": "3.0"}, "val_mae")


def test_an_ensemble_of_numbers_says_their_mean():
    torch.manual_seed(0)
    network = Ensemble(3, 1, 1, member={"depth": 10, "width": 4}, count=3, exclusive=None).eval()
    volumes = torch.rand(2, 1, 16, 16, 16)
    mean = torch.stack([member(volumes) for member in network.members]).mean(0)
    torch.testing.assert_close(network(volumes), mean)
    assert torch.equal(network.with_features(volumes)[1][:, -3:].mean(1, keepdim=True), mean)


def test_folds_share_out_a_number_and_need_two_patients_each():
    cases = [{"case": str(i), "patient": f"p{i // 2}", "label": float(i // 2)} for i in range(40)]
    made = parted({"task": "regression", "class_names": ["ml"], "train": cases, "val": []}, folds=4)
    for fold in made:
        tested = [case["label"] for case in fold if case["split"] == "test"]
        assert (len(tested), 5 < np.mean(tested) < 14) == (10, True)
    with pytest.raises(CrossDError, match=r"need two patients each or more, 10, got 3\. Add cases, or pass fewer"):
        parted({"task": "regression", "class_names": ["ml"], "train": cases[:6], "val": []}, folds=5)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """24 volumes with a bright slab, and its thickness in micrometres as the number."""
    folder = tmp_path_factory.mktemp("slabs")
    rng = np.random.default_rng(0)
    lines = ["image,thickness um,patient,sex"]
    for case in range(24):
        thick = 1 + case % 6
        voxels = rng.normal(100, 5, (9, 8, 8)).astype(np.float32)
        voxels[:, :thick] += 80
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"c{case:02}.nii.gz")
        lines.append(f"c{case:02}.nii.gz,{1000 * thick},p{case},{'fm'[case % 2]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def train(volumes):
    def make(output_dir, **options):
        given = {"labels": volumes / "labels.csv", "label": "thickness um", "task": "regression", "weights": "none"}
        small = {"roi_size": [8, 8, 8], "depth": 10, "width": 4, "batch_size": 6, "tensorboard": False, "device": "cpu"}
        rates = {"learning_rate": 0.01, "flip_axes": [], "affine_prob": 0.0}
        return run("train", **{**small, **rates, **given, "output_dir": output_dir, **options})

    return make


@pytest.fixture(scope="module")
def made(train, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "out"
    train(folder, epochs=14)
    return folder


def test_a_run_is_evaluated_and_answers_in_the_unit_of_the_table(made, volumes, tmp_path):
    card = read_card(made / "model.pt")
    assert (card["task"], card["class_names"], card["operating_point"]) == ("regression", ["thickness um"], None)
    labels = [float(row["label"]) for row in csv_rows(made / "datalist.csv") if row["split"] == "train"]
    assert card["target"] == {"mean": pytest.approx(np.mean(labels)), "scale": pytest.approx(np.std(labels))}
    assert card["metrics"]["val_mae"] < 800  # of slabs of 1000 to 6000; always the mean: 1500
    assert "scope" in card
    run("train", "evaluate", output_dir=made, split="all", by=["sex"], bootstrap_samples=100, device="cpu")
    report = json.loads((made / "evaluation" / "metrics.json").read_text())
    assert report["metrics"]["r2"]["low"] > 0.5
    assert report["mae_of_mean"] == 1500
    said = {row["case"]: row for row in csv_rows(made / "evaluation" / "predictions.csv")}
    assert {float(row["label"]) for row in said.values()} == {1000.0 * n for n in range(1, 7)}
    page = (made / "evaluation" / "evaluation.html").read_text(encoding="utf-8")
    assert "thickness um is off by" in page
    assert "The largest errors" in page
    assert {row["group"] for row in csv_rows(made / "evaluation" / "subgroups.csv")} == {"f", "m"}
    run("inference", images=volumes, weights=made / "model.pt", output_dir=tmp_path / "answers", device="cpu")
    answers = csv_rows(tmp_path / "answers" / "predictions.csv")
    assert len(answers) == 24
    for row in answers:
        told = float(said[row["case"]]["predicted"])
        assert float(row["predicted_thickness um"]) == pytest.approx(told, abs=1)


def test_what_is_exported_says_the_number(made, tmp_path):
    """No softmax, which of one output is always 1."""
    for to in ("torchscript", "onnx"):
        found = export_network(made / "model.pt", to, tmp_path / to)
        assert max(difference for _, difference in found.differences) < 1e-4
    volume = torch.rand(1, 1, 8, 8, 8)
    program = torch.jit.load(str(tmp_path / "torchscript" / "model.ts"))
    assert 0 < float(program(volume)) < 10000


def test_a_model_of_the_same_number_is_gone_on_with(made, train, tmp_path):
    """Its head is taken over as it is, in the unit of the table."""
    train(tmp_path / "again", weights=made / "model.pt", epochs=1, learning_rate=1e-6)
    both = [read_checkpoint(folder / "model.pt")["model"]["fc.bias"] for folder in (made, tmp_path / "again")]
    torch.testing.assert_close(*both, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"aggregate": "max"}, "joined by their mean, got aggregate 'max'"),
        ({"classes": ["thin", "thick"]}, "predicts one number, got 2 --classes (thin, thick)"),
        ({"label": "sex"}, "must be one, without unit or thousands separator, got in"),
        ({"negative_class": "thin"}, "negative_class must be one of ['thickness um'], got 'thin'"),
    ],
)
def test_what_is_refused(train, tmp_path, options, said):
    refused(lambda: train(tmp_path / "out", **{"epochs": 1, **options}), said)


@pytest.mark.slow
def test_folds_end_in_one_model(train, volumes, tmp_path):
    folder = tmp_path / "folds"
    train(folder, epochs=3, folds=2)
    report = json.loads((folder / "out_of_fold" / "metrics.json").read_text())
    assert (report["cases"], report["folds"]) == (24, 2)
    assert [row["fold"] for row in csv_rows(folder / "out_of_fold" / "folds.csv")] == ["fold_0", "fold_1"]
    card = read_card(folder / "model.pt")
    assert card["target"]["mean"] == 3500
    run("inference", images=volumes, weights=folder / "model.pt", output_dir=tmp_path / "answers", device="cpu")
    row = csv_rows(tmp_path / "answers" / "predictions.csv")[0]
    each = float(row["disagreement"])
    assert (each >= 0, 0 < float(row["predicted_thickness um"]) < 10000) == (True, True)

"""The fine-tuning bundle as a user runs it: configs/train.json and configs/evaluate.json on small volumes."""

from __future__ import annotations

import csv
import hashlib
import json

import nibabel
import numpy as np
import pytest
import torch
from crossd.cards.scope_entry import scope_of
from crossd.checkpoints import read_card, read_checkpoint, save_checkpoint
from crossd.data import write_dicom_series
from crossd.networks import CrossDResNet
from crossd.training import model_card

from .commands import bundle
from .configs import card_input, csv_rows, cubes, refused, run, started, workflow

SMALL = {"roi_size": [8, 8, 8], "depth": 10, "width": 4, "batch_size": 6, "tensorboard": False}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """`images/c00.nii.gz` to `c23.nii.gz` of 9 x 8 x 7 voxels, where odd ones hold a bright cube, and `labels.csv`."""
    return cubes(tmp_path_factory.mktemp("volumes"), (9, 8, 7))


@pytest.fixture
def train(volumes):
    def make(output_dir, **options):
        given = {"images": volumes / "images", "labels": volumes / "labels.csv", "weights": "none", "epochs": 2}
        return run("train", **{**SMALL, **given, "output_dir": output_dir, **options})

    return make


@pytest.fixture(scope="module")
def trained(root, volumes, tmp_path_factory):
    """The folder of a run of 16 epochs, by the command of a user in another working directory."""
    folder = tmp_path_factory.mktemp("trained")
    options = {**SMALL, "images": "images", "labels": "labels.csv", "weights": "none", "epochs": 16}
    options |= {"tensorboard": True, "output_dir": folder / "out", "learning_rate": 0.01}
    before = digests(root / "models")
    assert bundle(root / "configs" / "train.json", cwd=volumes, **options) == 0
    assert digests(root / "models") == before  # a model that is shipped is never written over
    return folder / "out"


def digests(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_a_run_leaves_a_model_its_cases_and_curves(trained, volumes):
    assert (trained / "classes.csv").read_text() == "class,train,val,test\ncube,8,2,2\nempty,8,2,2\n"
    card = read_card(trained / "model.pt")
    assert (card["task"], card["class_names"], card["data"]) == ("multiclass", ["cube", "empty"], "labels.csv")
    assert card["network"] == {"spatial_dims": 3, "in_channels": 1, "num_classes": 2, "depth": 10, "width": 4}
    assert card["input"]["roi_size"] == [8, 8, 8]
    assert card["metrics"]["val_auc"] == 1.0
    rows = csv_rows(trained / "datalist.csv")
    assert len(rows) == 24
    assert {row["image"] for row in rows} == {str(path) for path in (volumes / "images").iterdir()}
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    assert list((trained / "tensorboard").glob("events.*"))
    splits = [row["split"] for row in rows]
    assert scope_of(card).cases == (splits.count("train"), splits.count("val"))


@pytest.mark.slow
def test_a_run_that_was_killed_before_it_had_its_scope_adds_it(train, tmp_path, caplog):
    train(tmp_path / "out", epochs=1)
    whole = read_checkpoint(tmp_path / "out" / "model.pt")
    scope = whole["card"].pop("scope")
    assert "comes from 4 validation cases: about 1 in 5 cases like them will be outside" in caplog.text
    save_checkpoint(tmp_path / "out" / "model.pt", whole["model"], whole["card"])
    train(tmp_path / "out", epochs=1)
    assert read_card(tmp_path / "out" / "model.pt")["scope"] == scope


def test_too_few_cases_for_a_scope_are_no_error(train, volumes, tmp_path, caplog):
    lines = (volumes / "labels.csv").read_text().splitlines()[1:7]
    rows = [f"{line},{split}" for line, split in zip(lines, ["train"] * 5 + ["val"], strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,label,patient,split", *rows]) + "\n")
    train(tmp_path / "out", epochs=1, labels=str(tmp_path / "labels.csv"))
    assert "scope" not in read_card(tmp_path / "out" / "model.pt")
    assert "model.pt has no scope, so inference cannot tell cases that are unlike these: A scope needs" in caplog.text


def test_the_model_is_evaluated_on_its_own_test_cases(trained):
    run("train", "evaluate", output_dir=trained, bootstrap_samples=200)
    report = json.loads((trained / "evaluation" / "metrics.json").read_text())
    test = {row["case"] for row in csv_rows(trained / "datalist.csv") if row["split"] == "test"}
    rows = csv_rows(trained / "evaluation" / "predictions.csv")
    assert {row["case"] for row in rows} == test
    assert (report["splits"], report["cases"], report["skipped"]) == (["test"], len(test), 0)
    assert report["metrics"]["balanced_accuracy"]["low"] > report["chance_balanced_accuracy"]
    for row in rows:
        assert row["label"] == row["predicted"]
        assert float(row["probability_cube"]) + float(row["probability_empty"]) == pytest.approx(1, abs=1e-5)


def test_other_splits_and_the_file_without_splits(trained, volumes):
    labels = volumes / "labels.csv"  # has no splits: those of the training run count
    options = {"output_dir": trained, "dataset_dir": volumes / "images"}
    made = workflow("train", "evaluate", split="all", labels=labels, **options)
    assert made.parser.get_parsed_content("splits") == ["train", "val", "test"]
    recorded = made.parser.get_parsed_content("cases")
    with (trained / "datalist.csv").open() as file:
        for row in csv.DictReader(file):
            assert row["case"] in {case["case"] for case in recorded[row["split"]]}
    refused(
        lambda: run("train", "evaluate", output_dir=trained, split="tset"),
        "split must be one of train, val, test or all, got 'tset'",
    )


def test_labels_that_the_model_does_not_know_are_refused(trained, volumes, tmp_path):
    (tmp_path / "labels.csv").write_text("image,label\nc00.nii.gz,sphere\n")
    options = {"output_dir": trained, "labels": tmp_path / "labels.csv", "images": volumes / "images"}
    refused(lambda: run("train", "evaluate", **options), "Every label must be one of ['cube', 'empty']")


def test_the_model_runs_in_inference(trained, volumes, tmp_path):
    run("inference", images=volumes / "images", weights=trained / "model.pt", output_dir=tmp_path)
    rows = csv_rows(tmp_path / "predictions.csv")
    assert {"probability_cube", "probability_empty"} <= rows[0].keys()
    evaluated = {
        row["case"]: float(row["probability_cube"]) for row in csv_rows(trained / "evaluation" / "predictions.csv")
    }
    found = {row["case"]: float(row["probability_cube"]) for row in rows}
    for case, probability in evaluated.items():
        assert found[case] == pytest.approx(probability, abs=1e-5), case


@pytest.mark.slow
def test_fine_tuning_keeps_the_backbone_and_takes_the_settings_of_the_card(train, trained, volumes, tmp_path):
    text = (volumes / "labels.csv").read_text().replace("p0\n", "p0\n", 1).replace("c02.nii.gz,empty", "c02.nii.gz,odd")
    text = text.replace("c04.nii.gz,empty", "c04.nii.gz,odd").replace("c06.nii.gz,empty", "c06.nii.gz,odd")
    (tmp_path / "labels.csv").write_text(text)
    made = train(
        tmp_path / "out",
        labels=str(tmp_path / "labels.csv"),
        weights=str(trained / "model.pt"),
        trainable="head",
        roi_size="$@base['input']['roi_size']",
        depth=None,
        width=None,
    )
    before, after = read_checkpoint(trained / "model.pt"), read_checkpoint(tmp_path / "out" / "model.pt")
    assert after["card"]["class_names"] == ["cube", "empty", "odd"]
    assert after["card"]["input"] == before["card"]["input"]
    for name, value in after["model"].items():
        assert name.startswith("fc.") or torch.equal(value, before["model"][name]), name
    assert after["model"]["fc.weight"].shape == (3, 32)
    assert made.trainer.state.epoch == 2


def test_another_architecture_is_refused(train, trained, tmp_path):
    refused(
        lambda: train(tmp_path, weights=str(trained / "model.pt"), width=8),
        "A checkpoint must fit the network it is loaded into",
    )
    assert not list(tmp_path.glob("*.pt"))


def test_missing_weights_are_never_random_weights(train, tmp_path):
    refused(lambda: train(tmp_path, weights=str(tmp_path / "no.pt")), "which is not there. Pass --weights FILE, or")


@pytest.mark.slow
def test_the_command_line_ends_with_the_message(volumes, tmp_path):
    options = {"labels": volumes / "labels.csv", "images": "/nowhere", "weights": "none", "output_dir": tmp_path}
    done = started("train", **options)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: Every image must exist, got in ")
    assert all(f"/nowhere/c{case:02}.nii.gz" in last for case in range(24))


@pytest.mark.slow
def test_multilabel(train, tmp_path):
    lines = ["image,bright,heavy,split"]
    for case in range(24):
        split = "train" if case < 12 else "val" if case < 18 else "test"
        lines.append(f"c{case:02}.nii.gz,{case % 2},{case // 3 % 2},{split}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    train(tmp_path / "out", labels=str(tmp_path / "labels.csv"), task="multilabel")
    assert read_card(tmp_path / "out" / "model.pt")["task"] == "multilabel"
    run("train", "evaluate", output_dir=tmp_path / "out", bootstrap_samples=100)
    report = json.loads((tmp_path / "out" / "evaluation" / "metrics.json").read_text())
    assert {"auc_bright", "auc_heavy", "sensitivity_bright"} <= report["metrics"].keys()
    assert report["cases_per_class"] == {"bright": 3, "heavy": 3}


def test_two_channels_and_a_class_missing_in_validation(train, volumes, tmp_path):
    lines = ["image_1,image_2,label,split"]
    for case in range(0, 24, 2):
        label = "abc"[case // 2 % 3] if case < 12 else "ab"[case // 2 % 2]
        lines.append(f"c{case:02}.nii.gz,c{case + 1:02}.nii.gz,{label},{'train' if case < 12 else 'val'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    train(tmp_path / "out", labels=str(tmp_path / "labels.csv"))
    card = read_card(tmp_path / "out" / "model.pt")
    assert card["input"]["channels"] == ["image_1", "image_2"]
    assert card["network"]["in_channels"] == 2
    assert 0 <= card["metrics"]["val_auc"] <= 1  # over a and b; c has no validation case


@pytest.mark.slow
def test_unreadable_cases(train, volumes, tmp_path):
    (tmp_path / "images").mkdir()
    for file in (volumes / "images").iterdir():
        (tmp_path / "images" / file.name).write_bytes(file.read_bytes()[: 300 if file.name == "c05.nii.gz" else None])
    refused(lambda: train(tmp_path / "out", images=str(tmp_path / "images")), "got 1 of 24 that are not: c05: ")
    train(tmp_path / "out", images=str(tmp_path / "images"), skip_unreadable=True)
    assert "c05" in (tmp_path / "out" / "skipped.csv").read_text()
    assert "c05" not in (tmp_path / "out" / "datalist.csv").read_text()


def test_properties(volumes, trained, tmp_path):
    options = {"images": volumes / "images", "labels": volumes / "labels.csv", "output_dir": tmp_path}
    assert workflow("train", **SMALL, **options, weights="none").check_properties() == []
    assert workflow("train", "evaluate", output_dir=trained).check_properties() == []


@pytest.fixture
def small_bundle(root, tmp_path):
    """A bundle with a small model of its own and no data."""
    card = model_card(
        "multiclass",
        ["a", "b", "c"],
        {"depth": 10, "width": 4},
        card_input(8, intensity={"mode": "percentile", "lower": 0, "upper": 100}),
    )
    (tmp_path / "configs").mkdir()
    metadata = json.loads((root / "configs" / "metadata.json").read_text())
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps({**metadata, "card": card}))
    (tmp_path / "configs" / "train.json").write_bytes((root / "configs" / "train.json").read_bytes())
    torch.manual_seed(3)
    save_checkpoint(tmp_path / "models" / "model.pt", CrossDResNet(3, 1, 3, depth=10, width=4), card)
    return tmp_path


def test_without_data_the_network_is_that_of_the_bundles_model(small_bundle):
    made = workflow(str(small_bundle / "configs" / "train.json"))
    wanted = read_checkpoint(small_bundle / "models" / "model.pt")["model"]
    assert {n: v.shape for n, v in made.network_def.state_dict().items()} == {n: v.shape for n, v in wanted.items()}


@pytest.mark.slow
def test_a_client_brings_its_own_items(small_bundle, volumes):
    """As MONAI Label and federated learning do: `{"image": path, "label": index}`, no labels.csv."""
    items = [{"image": str(volumes / "images" / f"c{i:02}.nii.gz"), "label": i % 3} for i in range(9)]
    config, options = str(small_bundle / "configs" / "train.json"), {"epochs": 1, "tensorboard": False}
    options |= {"output_dir": small_bundle / "out", "validate#dataset#data": items[6:]}
    made = run(config, **options, **{"train#dataset#data": items[:6]})
    assert read_card(small_bundle / "out" / "model.pt")["class_names"] == ["a", "b", "c"]
    before = read_checkpoint(small_bundle / "out" / "checkpoint_0001.pt")["model"]["fc.weight"]
    made.trainer.state.max_epochs = 2
    made.trainer.run()  # a second round goes on with the network as it is
    after = read_checkpoint(small_bundle / "out" / "checkpoint_0002.pt")
    assert after["epoch"] == 2
    assert not torch.equal(after["model"]["fc.weight"], before)
    changed = workflow(config, **options, **{"train#dataset#data": items[:5]})
    refused(changed.run, "A run is resumed under the settings it was started with")  # not taken for the finished run


def test_a_dicom_folder_among_files(train, volumes, tmp_path):
    values = nibabel.load(volumes / "images" / "c01.nii.gz")
    stored = np.asarray(values.dataobj).astype(np.int16)
    write_dicom_series(tmp_path / "series", stored, values.affine)
    text = (volumes / "labels.csv").read_text().replace("c01.nii.gz", str(tmp_path / "series"))
    (tmp_path / "labels.csv").write_text(text)
    train(tmp_path / "out", labels=str(tmp_path / "labels.csv"), epochs=1)
    assert str(tmp_path / "series") in (tmp_path / "out" / "datalist.csv").read_text()


@pytest.mark.slow
def test_a_run_of_old_goes_on_under_its_settings_only(train, tmp_path, caplog):
    """It stored `none` for no weights, and not yet how files are read, amp and the number of processes."""
    train(tmp_path, epochs=1)
    path = tmp_path / "checkpoint_0001.pt"
    content = torch.load(path, weights_only=True)
    for name in ("series", "tilt", "volume", "amp", "processes"):
        del content["settings"][name]
    torch.save({**content, "settings": {**content["settings"], "weights": "none"}}, path)
    refused(lambda: train(tmp_path, epochs=1, weight_decay=0.5), "weight_decay was 0.01 and is 0.5. Give the same")
    train(tmp_path, epochs=1)
    assert "does not say its series, tilt, volume, amp: make sure that series is None, tilt is 'correct'" in caplog.text

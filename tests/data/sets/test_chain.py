"""Every named data set goes all the way: release → labels.csv → fine-tuning with its preset, 2D weights → answers."""

from __future__ import annotations

import csv
import json
import math

import pytest
import torch
import yaml
from crossd.checkpoints import read_card, read_checkpoint, save_checkpoint
from crossd.cli.main import main as crossd
from crossd.data.sets import DATASETS, prepare_datalist
from crossd.networks import CrossDResNet
from crossd.training import model_card
from monai.bundle import ConfigWorkflow

pytestmark = pytest.mark.slow  # whole runs

DEFAULT = ("mosmed", "enhanced-medmnist")  # one channel, in place; several channels, from arrays
RELEASES = (
    "brats21",
    "brats21-dicom",
    "mosmed",
    "mosmed-subset",
    "ixi",
    "ixi-archives",
    "lung-adenocarcinoma",
    "ribfrac",
    "busv",
    "enhanced-medmnist",
    "class-folders",
    "hippocampusparts",
    *(name for name, dataset in DATASETS.items() if name.endswith("mnist3d")),
)
OPTIONS = {
    "ribfrac": {"size": 24},
    "busv": {"size": 8},
    "hippocampusparts": {"size": 8},
    "class-folders": {"patient_pattern": r"sub-\w+"},
    **{name: {"size": 28} for name in DATASETS if name.endswith("mnist3d")},
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small Cross-D network for 2D images, as pre-training leaves it."""
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    card = model_card(
        "multiclass",
        ["a", "b", "c"],
        {"spatial_dims": 2, "depth": 10, "width": 8, "alignment": "dynamic"},
        {
            "channels": ["image"],
            "plane": "acquired",
            "spacing": None,
            "roi_size": [1, 64, 64],
            "intensity": {"mode": "range"},
            "mean": 0.3162,
            "std": 0.3213,
        },
    )
    torch.manual_seed(1)
    save_checkpoint(path, CrossDResNet(2, 1, 3, depth=10, width=8, alignment="dynamic"), card)
    return path


@pytest.mark.parametrize(
    "name", [name if name in DEFAULT else pytest.param(name, marks=pytest.mark.slow) for name in RELEASES]
)
def test_from_the_release_to_answers(name, root, release, rows, weights, tmp_path, monkeypatch):
    dataset = name.removesuffix("-dicom").removesuffix("-subset").removesuffix("-archives")
    labels = prepare_datalist(dataset, release(name), tmp_path / "data", **OPTIONS.get(dataset, {}))
    listed = rows(labels)
    assert {row["split"] for row in listed} >= {"train", "val"}
    monkeypatch.chdir(tmp_path)  # a bundle runs from anywhere
    configs = root / "configs"
    train = ConfigWorkflow(
        [str(configs / "train.json"), str(configs / "datasets" / DATASETS[dataset].facts.preset)],
        workflow_type="train",
        logging_file=False,
        labels=str(labels),
        weights=str(weights),
        output_dir=str(tmp_path / "out"),
        roi_size=[8, 8, 8],
        epochs=2,
        batch_size=4,
        tensorboard=False,
    )
    train.initialize()
    train.run()
    card = read_card(tmp_path / "out" / "model.pt")
    known = DATASETS[dataset].facts.class_names
    assert card["class_names"] == list(known or sorted({row["label"] for row in listed}))
    assert len(card["input"]["channels"]) == sum(column.startswith("image") for column in listed[0])
    first = read_checkpoint(weights)["model"]["layer1.0.conv1.weight"]
    inflated = read_checkpoint(tmp_path / "out" / "checkpoint_0002.pt")["model"]["layer1.0.conv1.weight"]
    assert inflated.shape == first.shape  # one stored 3D kernel for images and volumes
    similar = torch.nn.functional.cosine_similarity(inflated.flatten(), first.flatten(), 0)
    assert 0.9 < similar < 1  # it began there, and learned
    infer = ConfigWorkflow(
        str(configs / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        images=str(labels),
        weights=str(tmp_path / "out" / "model.pt"),
        output_dir=str(tmp_path / "answers"),
    )
    infer.initialize()
    infer.run()
    with (tmp_path / "answers" / "predictions.csv").open() as file:
        answers = list(csv.DictReader(file))
    assert len(answers) == len(listed)
    assert {answer["status"] for answer in answers} == {"ok"}
    for answer in answers:
        shares = [float(answer[f"probability_{label}"]) for label in card["class_names"]]
        assert math.isclose(sum(shares), 1, abs_tol=1e-4)
        assert answer["predicted_class"] == card["class_names"][shares.index(max(shares))]


@pytest.mark.parametrize(
    "name", ["mosmed", *(pytest.param(name, marks=pytest.mark.slow) for name in ("brats21", "ixi"))]
)
def test_a_plan_is_made_for_it_and_a_probe_takes_it(name, release, rows, weights, tmp_path):
    """`crossd plan` looks at the official layout as it is; `crossd probe` sees the cases as that says."""
    labels = prepare_datalist(name, release(name), tmp_path / "data")
    plan, probe = tmp_path / "plan", tmp_path / "probe"
    assert crossd(["plan", "--labels", str(labels), "--output_dir", str(plan)]) == 0
    settings = yaml.safe_load((plan / "plan.yaml").read_text())
    assert {"plane", "spacing", "roi_size", "intensity", "epochs"} <= settings.keys()
    assert settings["intensity"]["mode"] == ("window" if name == "mosmed" else "percentile")  # CT; MR has no unit
    assert {row["reason"] for row in rows(plan / "cases.csv")} == {""}
    small = ["--views", "['projections']", "--network_options", "{'image_size':16}", "--folds", "2", "--repeats", "1"]
    command = ["probe", "--labels", str(labels), "--weights", str(weights), "--plan", str(plan / "plan.yaml")]
    assert crossd([*command, "--output_dir", str(probe), *small]) == 0
    card = read_card(probe / "model.pt")
    assert card["input"]["intensity"]["mode"] == settings["intensity"]["mode"]
    assert len(card["input"]["channels"]) == sum(column.startswith("image") for column in rows(labels)[0])


@pytest.mark.parametrize("name", ["breastmnist", "braintumormrimnist_224"])
def test_sets_of_images_are_trained_on_and_tested(name, root, made, weights, tmp_path, monkeypatch):
    """A MedMNIST set with its official split, and a file of Enhanced-MedMNIST without one."""
    if name == "breastmnist":
        made.medmnist_file(name, 28, (8, 4, 4))(tmp_path)
        made.official(tmp_path, name, 28)
        labels = prepare_datalist(name, tmp_path, tmp_path / "data", size=28)
    else:
        made.enhanced("NHWC", name, size=(1, 20, 20))(tmp_path)
        labels = prepare_datalist("enhanced-medmnist", tmp_path, tmp_path / "data")
    with labels.open() as file:
        splits = [row["split"] for row in csv.DictReader(file)]
    monkeypatch.chdir(tmp_path)
    train = ConfigWorkflow(
        [str(root / "configs" / "pretrain_2d.json"), str(root / "configs" / "train_2d.json")],
        workflow_type="train",
        logging_file=False,
        images=str(labels),
        weights=str(weights),
        output_dir=str(tmp_path / "out"),
        image_size=16,
        epochs=2,
        batch_size=4,
        bootstrap_samples=100,
        tensorboard=False,
        progress=False,
    )
    train.initialize()
    train.run()
    report = json.loads((tmp_path / "out" / "test" / "metrics.json").read_text())
    assert report["cases"] == splits.count("test") > 0
    assert report["classes"] == sorted(["0", "1"] if name != "breastmnist" else ["malignant", "normal, benign"])

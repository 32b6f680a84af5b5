"""Multilabel images and images as pseudo-3D volumes, from pre-training to test and to volumes."""

from __future__ import annotations

import csv
import json

import pytest
import torch
from crossd.cards.from_weights import FROM_SCRATCH, FROM_SCRATCH_2D
from crossd.checkpoints import read_card, read_checkpoint, save_checkpoint
from crossd.data import preprocessing
from crossd.data.images.chest_xray14 import FINDINGS
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet
from crossd.pseudo3d import pseudo_3d
from crossd.ssl.unlabelled_images import unlabelled_images
from crossd.training import PrepareImages, base_card, image_card, model_card
from crossd.training.images import checked_windows

from .. import configs
from ..configs import csv_rows

pytestmark = pytest.mark.slow  # whole runs

STEM = {"conv1_t_size": 3, "no_max_pool": True}
WINDOWS = {"kernel_size": 3, "stride": 2, "padding": 1}


def run(small, files, **options):
    given = {**small, "network_options": STEM, "crop_scale": [0.8, 1.0], "flip_axes": [], **options}
    return configs.run(*files, **given)


@pytest.fixture(scope="module")
def release(make_chest_xray14, tmp_path_factory):
    return make_chest_xray14(tmp_path_factory.mktemp("nih"), train_val=20, test=8)


def trained_on(release, small, folder, **options):
    """The card of a run on the release, and its report on the test images."""
    given = {"images": release, "trainable": "all", "mixup": 0.2, "image_size": 24, "output_dir": folder, **options}
    run(small, ("pretrain_2d", "train_2d"), **given, val_fraction=0.2, bootstrap_samples=100)
    return read_card(folder / "model.pt"), json.loads((folder / "test" / "metrics.json").read_text())


def test_chest_xray14_is_trained_on_and_tested_by_its_official_lists(small, release, tmp_path):
    card, report = trained_on(release, small, tmp_path, epochs=1)
    assert (card["task"], card["class_names"]) == ("multilabel", list(FINDINGS))
    assert (report["task"], report["cases"], report["patients"]) == ("multilabel", 16, 8)
    assert report["metrics"]["auc_Hernia"]["value"] is None
    with (tmp_path / "images.csv").open() as file:
        of_patient: dict[str, set[str]] = {}
        for row in csv.DictReader(file):
            of_patient.setdefault(row["patient"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in of_patient.values())
    assert {"val_auc", "val_loss"} <= set(csv_rows(tmp_path / "metrics.csv")[0])


def test_the_findings_of_chest_xray14_are_learnt(small, release, tmp_path):
    card, report = trained_on(release, small, tmp_path, epochs=8, learning_rate=0.01)
    assert card["metrics"]["val_auc"] > 0.9
    assert report["metrics"]["auc"]["value"] > 0.9  # the mean over the classes that there are


def test_switches_as_the_command_line_gives_them(root, small, images, tmp_path):
    options = {"images": str(images), "output_dir": str(tmp_path / "out"), "epochs": 1, "tensorboard": "false"}
    for rate in (0.01, 0.02):  # without resume other settings are no reason to refuse
        made = run({**small, **options}, ("pretrain_2d",), resume="false", amp="false", learning_rate=rate)
    assert not (tmp_path / "out" / "tensorboard").exists()
    assert made.parser.get_parsed_content("train::trainer").amp is False


def test_self_supervision_takes_nothing_of_the_test_list(make_chest_xray14, tmp_path):
    release = make_chest_xray14(tmp_path)
    for given in (release, release / "Data_Entry_2017_v2020.csv"):
        found = unlabelled_images(str(given))
        names = {item["image"][1] for item in found["items"]}
        assert names == set((release / "train_val_list.txt").read_text().split())
    (release / "images_002/images/00000001_000.png").unlink()
    assert [name for _, name, _ in unlabelled_images(str(release))["skipped"]] == ["00000001_000.png"]


@pytest.fixture(scope="module")
def pseudo(root, small, images, tmp_path_factory):
    """A 3D network trained on images by Pseudo3D; the folder of its run."""
    folder = tmp_path_factory.mktemp("pseudo")
    options = {"images": str(images), "pseudo3d": WINDOWS, "epochs": 8, "learning_rate": 0.01}
    run(small, ("pretrain_2d",), **options, output_dir=str(folder))
    return folder


def test_a_3d_network_learns_from_images(pseudo):
    card = read_card(pseudo / "model.pt")
    assert card["network"]["spatial_dims"] == 3
    assert card["input"]["roi_size"] == [9, 8, 8]
    assert card["input"]["pseudo_3d"] == {**WINDOWS, "image_size": 16}
    assert (card["input"]["mean"], card["input"]["std"]) == (0.3162, 0.3213)
    assert card["metrics"]["val_balanced_accuracy"] > 0.8


def test_it_is_tested_on_images_from_its_own_weights(root, small, make_images, pseudo, tmp_path):
    made = make_images(tmp_path / "images", train=6, val=4)
    (made / "val").rename(made / "test")
    for kind in ("bar", "dot"):
        (made / "val" / kind).mkdir(parents=True)
        for name in ("00.png", "01.png"):
            (made / "train" / kind / name).rename(made / "val" / kind / name)
    options = {name: value for name, value in small.items() if name not in ("image_size", "depth", "width")}
    options |= {"network_options": {}, "weights": str(pseudo / "model.pt"), "pseudo3d": WINDOWS, "epochs": 1}
    options |= {
        "images": str(made),
        "learning_rate": 1e-9,
        "bootstrap_samples": 100,
        "output_dir": str(tmp_path / "out"),
    }
    run({}, ("pretrain_2d", "train_2d"), **options)
    card = read_card(tmp_path / "out" / "model.pt")
    assert card["input"]["pseudo_3d"]["image_size"] == 16  # that of the weights' card
    report = json.loads((tmp_path / "out" / "test" / "metrics.json").read_text())
    assert (report["cases"], report["metrics"]["auc"]["value"] > 0.8) == (8, True)  # the head was taken over


def test_volumes_are_trained_on_from_it(root, volumes, pseudo, tmp_path):
    options = {"labels": str(volumes / "labels.csv"), "images": str(volumes / "images"), "batch_size": 4, "epochs": 1}
    options |= {"weights": str(pseudo / "model.pt"), "output_dir": str(tmp_path), "tensorboard": False}
    made = configs.workflow("train", trainable="norms", roi_size=[8, 8, 8], **options)
    assert made.parser.get_parsed_content("base")["input"]["roi_size"] == FROM_SCRATCH["input"]["roi_size"]
    made.run()
    card, state = read_card(tmp_path / "model.pt"), read_checkpoint(tmp_path / "model.pt")["model"]
    assert "pseudo_3d" not in card["input"]
    assert (card["input"]["mean"], card["network"]["spatial_dims"]) == (0.3162, 3)
    before = read_checkpoint(pseudo / "model.pt")["model"]
    assert torch.equal(state["layer1.0.conv1.weight"], before["layer1.0.conv1.weight"])


def test_inference_on_volumes_refuses_it(root, volumes, pseudo, tmp_path):
    with pytest.raises(
        CrossDError, match=r"this one classifies images, which it sees by Pseudo3D .* configs/train_2d\.json"
    ):
        preprocessing(read_card(pseudo / "model.pt")["input"])
    options = {"images": str(volumes / "images"), "weights": str(pseudo / "model.pt"), "output_dir": str(tmp_path)}
    configs.refused(lambda: configs.run("inference", **options), "Volumes are for models of volumes")


def test_weights_of_a_self_supervised_encoder(root, small, images, tmp_path):
    network = CrossDResNet(3, 1, 2, depth=10, width=4, **STEM)
    state = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    seen, further = configs.card_input(16, mean=0.4, std=0.2), {"pseudo_3d": {**WINDOWS, "mean": 0.1, "std": 0.3}}
    card = model_card("self_supervised", [], {"depth": 10, "width": 4, **STEM}, seen, encoder="crossd", **further)
    save_checkpoint(tmp_path / "ssl.pt", state, card)
    options = {"images": str(images), "weights": str(tmp_path / "ssl.pt"), "epochs": 1, "learning_rate": 1e-9}
    run(small, ("pretrain_2d",), **options, network_options={}, pseudo3d=WINDOWS, output_dir=tmp_path / "out")
    trained = read_checkpoint(tmp_path / "out" / "model.pt")
    torch.testing.assert_close(trained["model"]["conv1.weight"], state["conv1.weight"], atol=1e-6, rtol=0)
    assert (trained["card"]["input"]["mean"], trained["card"]["network"]["conv1_t_size"]) == (0.1, 3)
    assert base_card(str(tmp_path / "ssl.pt"), str(root))["input"]["mean"] == 0.4  # for volumes, that of the volumes


def test_what_the_network_is_shown():
    batch = {"image": 255 * torch.rand(2, 1, 16, 16), "label": torch.tensor([[1.0, 0.0], [1.0, 1.0]])}
    images, labels = PrepareImages(2, mean=0.3, std=0.2, pseudo_3d=WINDOWS)(batch)
    torch.testing.assert_close(images, (pseudo_3d(batch["image"], **WINDOWS) / 255 - 0.3) / 0.2)
    assert images[0, 0, 0, 0, 0] == pytest.approx(-1.5)  # padding is black, not the mean
    assert torch.equal(labels, batch["label"])
    mixed = PrepareImages(2, mixup=0.4, pseudo_3d=WINDOWS)(batch)
    assert (mixed[0].shape, mixed[1].shape) == ((2, 1, 9, 8, 8), (2, 2))


def test_windows_that_cannot_be():
    arguments = (FROM_SCRATCH_2D, ["a", "b"], {"width": 8}, 1, 16, 0.3, 0.2, "x")
    assert image_card(*arguments, pseudo_3d={})["input"]["roi_size"] == [16, 8, 8]
    with pytest.raises(
        CrossDError, match=r"pseudo3d holds kernel_size, padding, stride .* got \{'kernel': 4\}\. Example"
    ):
        checked_windows({"kernel": 4})
    with pytest.raises(CrossDError, match=r"A window must fit into the image: kernel_size 40 is larger"):
        image_card(*arguments, pseudo_3d={"kernel_size": 40})

"""The law: from volumes without labels a 3D network learns what frozen 2D views say of them, and says it of others."""

from __future__ import annotations

import csv

import nibabel
import numpy as np
import pytest
import torch
from crossd.cards.from_weights import base_card
from crossd.checkpoints import load_pretrained, read_card, read_checkpoint, save_checkpoint
from crossd.distillation.lesson import _each_file
from crossd.errors import CrossDError
from crossd.networks import CrossDResNet, build_classifier
from crossd.probe.frozen import frozen_network
from crossd.training import model_card
from monai.bundle import ConfigWorkflow

pytestmark = pytest.mark.slow  # whole runs

FLAT = {"depth": 10, "width": 4, "view": "projection"}
SEEN = {"channels": ["image"], "plane": "acquired", "spacing": None, "roi_size": [1, 32, 32]}
SEEN |= {"intensity": {"mode": "range"}, "mean": 0.3, "std": 0.3}
TINY = {"epochs": 2, "components": 6, "volume_size": 16, "batch_size": 4, "tensorboard": False, "progress": False}
TINY |= {"network_options": {"image_size": 16, "slice_step": 4}, "device": "cpu"}


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """10 volumes of 8 x 10 x 8 voxels with a box of another length in each, the last two of which are held out."""
    folder = tmp_path_factory.mktemp("scans")
    lines = ["image,split"]
    for number in range(10):
        voxels = np.random.default_rng(number).normal(100, 10, (8, 10, 8)).astype(np.float32)
        voxels[2:4, 1 : 2 + number % 8, 3:6] += 200
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 2, 1])), folder / f"{number:02}.nii.gz")
        lines.append(f"{number:02}.nii.gz,{'train' if number < 8 else 'test'}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n")
    return folder / "list.csv"


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """A 2D network with random weights."""
    path = tmp_path_factory.mktemp("flat") / "model.pt"
    torch.manual_seed(0)
    network = CrossDResNet(2, 1, 2, **FLAT)
    save_checkpoint(path, network, model_card("multiclass", ["a", "b"], {**FLAT, "spatial_dims": 2}, SEEN))
    return str(path)


@pytest.fixture(scope="module")
def distil(root, scans, flat):
    torch.set_num_threads(1)

    def run(output_dir, **options):
        given = {**TINY, "volumes": str(scans), "weights": flat, "output_dir": str(output_dir), **options}
        config = str(root / "configs" / "distill.json")
        made = ConfigWorkflow(config, workflow_type="train", logging_file=False, **given)
        made.initialize()
        made.run()
        return made

    return run


@pytest.fixture(scope="module")
def whole(distil, tmp_path_factory):
    """The folder of a run."""
    folder = tmp_path_factory.mktemp("whole")
    distil(folder)
    return folder


def test_a_run_leaves_a_3d_network_that_training_and_probes_start_from(whole, flat, root, tmp_path):
    card = read_card(whole / "model.pt")
    assert (card["task"], card["encoder"], card["class_names"]) == ("self_supervised", "crossd", [])
    assert card["input"]["roi_size"] == [16, 16, 16]
    assert card["input"]["spacing"] == pytest.approx([1.0] * 3)  # of the longest side, 8 voxels of 2 mm, in 16 voxels
    with (whole / "cases.csv").open() as file:
        splits = [row["split"] for row in csv.DictReader(file)]
    assert (splits.count("train"), splits.count("val")) == (7, 1)
    base = base_card(str(whole / "model.pt"), str(root))
    network = build_classifier({**base["network"], "spatial_dims": 3, "in_channels": 1, "num_classes": 3})
    assert load_pretrained(network, whole / "model.pt").missing == ()
    before = read_checkpoint(flat)["model"]
    assert not torch.equal(network.conv1.weight, before["conv1.weight"])
    shape = {"views": ["volume"], "options": {"volume_size": 16, "background": 0.0}}
    cases = [{"case": "a", "image": [str(tmp_path)], "error": None}]
    seen = frozen_network(str(whole / "model.pt"), str(root), cases, {"spacing": [1, 1, 2]}, {}, **shape)
    volume = torch.rand(1, 1, 16, 16, 16)
    expected = network.eval().pooled_features(volume)
    torch.testing.assert_close(seen.network.eval().volume.pooled_features(volume), expected)


def test_a_killed_run_goes_on_to_the_same_weights(distil, whole, tmp_path):
    for name in ("checkpoint_0001.pt", "cache"):
        (tmp_path / name).symlink_to(whole / name)
    distil(tmp_path, cache_dir=str(tmp_path / "cache"))
    _same(tmp_path, whole)


def test_what_is_seen_live_of_an_unchanged_volume_is_what_was_kept(distil, whole, tmp_path):
    distil(tmp_path, live=True, cache_dir=str(whole / "cache"))
    _same(tmp_path, whole, 1e-3)


def _same(one, other, tolerance=0.0):
    one, other = (read_checkpoint(folder / "checkpoint_0002.pt")["model"] for folder in (one, other))
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"volumes": None}, "Distillation needs volumes, got none. Pass --volumes"),
        ({"views": ["volume"]}, "`views` must be one of"),
        ({"val_fraction": 1.5}, "val_fraction must be a share above 0 and below 1, got 1.5"),
    ],
)
def test_what_cannot_be_taught_is_refused(distil, tmp_path, options, message):
    with pytest.raises(RuntimeError) as caught:  # MONAI's, whose cause is ours
        distil(tmp_path, **options)
    error = caught.value
    while not isinstance(error, CrossDError):
        error = error.__cause__
    assert message in str(error)


def test_every_file_is_a_volume_of_its_patient_and_arrays_are_refused():
    case = {"case": "p1", "source": "a", "image": ["ed.nii", "es.nii"], "error": None}
    ed, es = _each_file([case])
    assert (ed["case"], ed["image"], es["case"], es["image"]) == ("p1/0", ["ed.nii"], "p1/1", ["es.nii"])
    assert ed["patient"] == es["patient"] == "p1"
    with pytest.raises(CrossDError, match=r"Volumes to distil from are files, got a row of an array, a\. Write them"):
        _each_file([{**case, "image": ["set.npz@3"]}])

"""The segmentation benchmark: what runs share, what is stored, how it is compared, and the page."""

from __future__ import annotations

import argparse

import nibabel
import numpy as np
import pytest
import torch
from crossd import CrossDResNet
from crossd.checkpoints import save_checkpoint
from crossd.data.sets.hippocampus_parts import find_hippocampus_parts
from crossd.errors import CrossDError
from crossd.training import model_card

from scripts.benchmarks.runs.checkpoints import checkpoint_of
from scripts.benchmarks.runs.grid import Block, Cell
from scripts.benchmarks.runs.lines import write_lines
from scripts.benchmarks.segmentation import METHODS, RECIPES, Inputs, Recipe, Results, build_network
from scripts.benchmarks.segmentation.command import add_arguments, benchmark, report
from scripts.benchmarks.segmentation.methods import parameters_used
from scripts.benchmarks.segmentation.run import perform
from scripts.benchmarks.segmentation.statistics import paired_dice
from scripts.benchmarks.segmentation.store import Tested
from scripts.benchmarks.segmentation.tasks import labelled_share, read_hippocampus
from scripts.benchmarks.segmentation.training import Crops, inferer_of

TINY = Recipe(depth=10, width=4, batch_size=2, steps={0.5: 4, 1.0: 4}, checks=2, crop=(16, 16, 16), size=(24, 24, 32))
BLOCK = Block(Cell("hippocampus", "full", 0.5), 0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`hippocampus_msd` with 14 small volumes in which the parts are two boxes of two intensities."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "hippocampus_msd"
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for case in range(14):
        shape = (24 + case % 3, 20, 18 + case % 2)
        mask = np.zeros(shape, np.uint8)
        mask[6:12, 5:12, 4:12], mask[13:18, 6:12, 5:11] = 1, 2
        voxels = rng.normal(100, 10, shape).astype(np.float32) + 60 * mask
        for kind, data in (("images", voxels), ("labels", mask)):
            image = nibabel.Nifti1Image(data, np.diag([1, 1, 1, 1]))
            nibabel.save(image, folder / kind / f"hippocampus_{case:03}.nii.gz")
    return folder


@pytest.fixture
def checkpoint(tmp_path, card_input):
    options = {"spatial_dims": 2, "depth": 10, "width": 4, "conv1_t_size": 3, "no_max_pool": True}
    network = CrossDResNet(in_channels=1, num_classes=2, **options)
    (tmp_path / "pretrained").mkdir()
    path = tmp_path / "pretrained" / "2d-shift.pt"
    save_checkpoint(path, network, model_card("multiclass", ["a", "b"], options, card_input))
    return path


@pytest.fixture(scope="module")
def card_input():
    seen = {"channels": ["image"], "plane": "acquired", "spacing": None, "roi_size": [1, 16, 16]}
    return {**seen, "intensity": {"mode": "range"}, "mean": 0.3, "std": 0.2}


def test_holds_out_the_volumes_that_hippocampus_parts_holds_out(folder, tmp_path):
    parts = read_hippocampus(folder, TINY.size)
    found = find_hippocampus_parts(folder, tmp_path, size=8)
    for split, part in parts.items():
        assert set(part.names) == {case.patient for case in found.cases if case.split == split}


def test_whole_volumes_are_padded_and_cut_out_again(folder):
    part = read_hippocampus(folder, TINY.size)["train"]
    for case, name in enumerate(part.names):
        label = np.asarray(nibabel.load(folder / "labels" / f"{name}.nii.gz").dataobj)
        inside = part.unpadded(part.labels[case, 0], case)
        assert inside.shape == label.shape[::-1]
        assert int((inside == 2).sum()) == int((part.labels[case] == 2).sum()) == int((label == 2).sum())
        assert part.spacing[case] == (1, 1, 1)
    with pytest.raises(CrossDError, match=r"fits into the recipe's size \(8, 8, 8\); hippocampus_0"):
        read_hippocampus(folder, (8, 8, 8))


def test_a_share_of_the_labels_and_the_crops_follow_from_the_seed(folder):
    part = read_hippocampus(folder, TINY.size)["train"]
    half = labelled_share(part, 0.5, 1)
    assert half.names == labelled_share(part, 0.5, 1).names
    assert abs(len(half.names) - len(part.names) / 2) <= 1
    assert set(half.names) < set(part.names)
    one, same, other = (Crops(half, 40, TINY, (0.5, 0.25), seed) for seed in (3, 3, 4))
    assert all(torch.equal(one[i]["image"], same[i]["image"]) for i in range(4))
    assert one.starts != other.starts
    assert one[0]["image"].shape == one[0]["label"].shape == (1, 16, 16, 16)
    shown = []
    for foreground in (0.0, 1.0):
        crops = Crops(half, 40, TINY.changed(crop=(4, 4, 4), foreground=foreground), (0.5, 0.25), 3)
        shown.append(sum(int(crops[i]["label"].max()) > 0 for i in range(40)))
    assert shown[0] < shown[1] == 40


def test_networks_have_as_many_parameters_and_the_same_decoder(checkpoint):
    recipe = RECIPES["segmentation"]
    counts = {name: parameters_used(build_network(METHODS[name], None, recipe, 3, 0)) for name in ("unet", "segresnet")}
    ours = parameters_used(build_network(METHODS["crossd-scratch"], None, recipe, 3, 0))
    assert all(abs(count / ours - 1) < 0.1 for count in counts.values())
    scratch = build_network(METHODS["crossd-scratch"], None, TINY, 3, 5)
    flat = build_network(METHODS["crossd-2d-shift"], checkpoint, TINY, 3, 5)
    assert torch.equal(scratch.decoder[0].convs.conv_0.conv.weight, flat.decoder[0].convs.conv_0.conv.weight)
    assert not torch.equal(scratch.encoder.conv1.weight, flat.encoder.conv1.weight)
    assert flat.encoder.conv1.alignment == "running"
    with pytest.raises(
        CrossDError,
        match=r"both starts from the pre-training 'ssl-joint', which is not there; found are \['2d-shift'\]",
    ):
        checkpoint_of(METHODS["ssl-joint"], {"2d-shift": checkpoint})


@pytest.mark.slow
def test_a_run_is_stored_once_and_repeats_exactly(folder, checkpoint, tmp_path):
    inputs = Inputs(TINY, folder, {"2d-shift": checkpoint})
    results = Results(tmp_path / "one.jsonl.gz", TINY)
    stored = perform(BLOCK, "crossd-2d-shift", inputs, results)
    assert stored["pretraining"]["file"] == "2d-shift.pt"
    assert stored["normalisation"] == [0.3, 0.2]
    assert len(stored["val"]["curve"]) == 2
    before = results.path.read_bytes()
    perform(BLOCK, "crossd-2d-shift", Inputs(TINY, folder / "nowhere"), results)  # is not repeated
    again = Results(tmp_path / "two.jsonl.gz", TINY)
    perform(BLOCK, "crossd-2d-shift", inputs, again)
    assert results.path.read_bytes() == before
    assert results.test_of(BLOCK, "crossd-2d-shift") == again.test_of(BLOCK, "crossd-2d-shift")
    tested = results.read_test(BLOCK, "crossd-2d-shift")
    assert tested.classes == ("anterior", "posterior")
    assert tested.dice.shape == (len(tested.cases),)


class Everywhere(torch.nn.Module):
    """Says the first part wherever a window is as large as a crop, and else nothing: it has seen nothing larger."""

    def forward(self, x):
        said = torch.zeros(len(x), 3, *x.shape[2:])
        said[:, 1 if x.shape[2:] == (16, 16, 16) else 0] = 1
        return said


@pytest.mark.parametrize(("overlap", "said"), [(None, 0.0), (0.5, 1.0)])
def test_volumes_are_seen_in_windows_of_the_size_that_was_trained_on(folder, overlap, said):
    """One network came to nothing only because whole volumes, padded, are unlike all that it was trained on."""
    part = read_hippocampus(folder, TINY.size)["test"]
    inferer = inferer_of(TINY.changed(overlap=overlap))
    volume = inferer(part.images[:1], Everywhere())
    assert volume.argmax(1).float().mean() == said


def test_a_recipe_of_old_does_not_say_what_came_later(tmp_path):
    recipe = {name: value for name, value in TINY.as_json().items() if name != "overlap"}
    write_lines(tmp_path / "old.jsonl.gz", [{"format": 1, "recipe": recipe, "inputs": {}}])
    assert Results(tmp_path / "old.jsonl.gz", TINY).recipe == recipe
    with pytest.raises(CrossDError, match=r"share one recipe; .* than is asked for: overlap None -> 0.5"):
        Results(tmp_path / "old.jsonl.gz", TINY.changed(overlap=0.5))


def masks(dice, names="abcd"):
    values = np.array(dice, dtype=float)[:, None]
    return Tested(tuple(names), ("part",), dict.fromkeys(("dice", "surface_distance", "hausdorff_95"), values))


def test_a_difference_is_paired_by_case():
    worse, better = masks([0.1, 0.5, 0.9, 0.3]), masks([0.2, 0.6, 1.0, 0.4])
    gap = paired_dice([better, better], [worse, worse])
    assert gap.value == pytest.approx(0.1)
    assert (gap.low, gap.high) == pytest.approx((0.1, 0.1))
    assert gap.p < 0.01
    none = paired_dice([better], [better])
    assert (none.value, none.p) == (0, 1)
    with pytest.raises(CrossDError, match="compared on the same seeds and test cases; got 1 and 2 runs"):
        paired_dice([better], [worse, worse])
    with pytest.raises(CrossDError, match="compared on the same seeds and test cases"):
        paired_dice([better], [masks([0.1, 0.2, 0.3, 0.4], "abce")])


def given(*options):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(options)


@pytest.mark.slow
def test_the_command_runs_what_is_missing_and_writes_the_page(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "segmentation", TINY)
    options = [
        "--data",
        str(folder.parent),
        "--methods",
        "crossd-scratch",
        "unet",
        "--results",
        str(tmp_path / "runs.jsonl.gz"),
    ]
    options += ["--seeds", "0.5=2", "--pretrained", str(tmp_path)]
    assert benchmark(given(*options)) == 0
    assert benchmark(given(*options)) == 0
    assert len(Results(tmp_path / "runs.jsonl.gz").runs()) == 4
    assert "| crossd-scratch | 0." in report(given(*options, "--validation"))
    page = tmp_path / "page.md"
    begin = "<!-- segmentation:begin (made by scripts.benchmarks.segmentation: do not edit) -->"
    page.write_text(f"before\n{begin}\n<!-- segmentation:end -->\nafter\n")
    every = [option if option != "crossd-scratch" else "ssl-joint" for option in options]
    every.insert(every.index("ssl-joint"), "crossd-scratch")
    text = report(given(*every, "--report", "--page", str(page)))
    assert text in page.read_text()
    rows = {line.split(":")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert "not run" in rows["| ssl-joint"]
    assert " 2 |" in rows["| unet"]
    assert "0.90" in text


def test_options_that_are_refused(folder, tmp_path):
    options = ["--data", str(folder.parent), "--results", str(tmp_path / "runs.jsonl.gz")]
    with pytest.raises(CrossDError, match="A recipe gives the steps for each label fraction"):
        benchmark(given(*options, "--seeds", "0.5=1"))
    with pytest.raises(CrossDError, match="--seeds takes FRACTION=COUNT"):
        benchmark(given(*options, "--seeds", "half"))
    with pytest.raises(CrossDError, match="`method` must be one of"):
        benchmark(given(*options, "--methods", "vnet"))

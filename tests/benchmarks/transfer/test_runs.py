"""Every method runs under one recipe; what is stored is not repeated; a budget leaves whole blocks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from crossd import CrossDResNet
from crossd.checkpoints import save_checkpoint
from crossd.errors import CrossDError

from scripts.benchmarks.runs.checkpoints import find_pretrained, normalisation
from scripts.benchmarks.runs.checks import BestCheck
from scripts.benchmarks.runs.grid import Block, Cell, blocks
from scripts.benchmarks.runs.lines import read_lines
from scripts.benchmarks.runs.schedule import execute
from scripts.benchmarks.transfer import METHODS, Results, build_network, perform
from scripts.benchmarks.transfer.tasks import Part, Task, labelled_subset, paper_fold, read_task
from scripts.benchmarks.transfer.training import Draws, Forward

from .conftest import NARROW, plain_resnet

VOLUMES = [name for name, method in METHODS.items() if method.spatial_dims == 3 and name != "medicalnet"]
HALF = Cell("solid", "full", 0.5)


SLOW = ("dynamic", "hybrid", "hybrid-running")  # they predict motion; test_hybrid.py runs the like


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in VOLUMES])
def test_a_method_runs(name, inputs, tmp_path):
    results = Results(tmp_path / "runs.jsonl.gz", inputs.recipe)
    run = perform(Block(HALF, 0), name, inputs, results)
    assert run["cases"] == {"train": 12, "val": 12, "test": 18}
    assert 0 <= run["val"]["auc"] <= 1
    assert len(run["val"]["curve"]) == 2
    assert run["normalisation"] == [0.25, 0.5], "all methods, scratch too, see the pre-training's normalisation"
    assert (run["pretraining"] is None) == (METHODS[name].pretraining is None)


@pytest.mark.parametrize("name", ["conv2d", "crossd2d"])
def test_two_dimensional_sets(name, inputs, tmp_path):
    run = perform(
        Block(Cell("flat", "probe", 0.5), 0), name, inputs, Results(tmp_path / "runs.jsonl.gz", inputs.recipe)
    )
    assert run["parameters"] > 0


def test_the_same_run_gives_the_same_result(inputs, tmp_path):
    lines = []
    for name in ("one.jsonl.gz", "two.jsonl.gz"):
        perform(Block(HALF, 1), "rest", inputs, Results(tmp_path / name, inputs.recipe))
        lines.append([{**line, "seconds": 0} for line in read_lines(tmp_path / name)])
    assert lines[0] == lines[1]


def test_methods_differ_in_the_backbone_only(inputs):
    """Same head for the same seed, the weights that their alignment says."""
    path = inputs.pretrained["shift"]
    raw, rest = (build_network(METHODS[name], path, NARROW, 2, seed=3) for name in ("raw", "rest"))
    assert torch.equal(raw.fc.weight, rest.fc.weight)
    assert torch.equal(raw.conv1.weight, rest.conv1.weight)
    assert torch.equal(raw.conv1.kernel(), raw.conv1.weight)
    torch.testing.assert_close(rest.conv1.kernel(), rest.conv1.weight.roll((1, 1, 1), (2, 3, 4)), atol=1e-5, rtol=0)
    mean, centre = (
        build_network(METHODS[name], inputs.pretrained["plain"], NARROW, 2, 3).conv1.weight
        for name in ("i3d-mean", "i3d-centre")
    )
    torch.testing.assert_close(mean.sum(2), centre[:, :, 1])
    assert centre[:, :, 0].abs().max() == 0


def test_a_stored_run_is_not_repeated(inputs, tmp_path):
    results = Results(tmp_path / "runs.jsonl.gz", inputs.recipe)
    grid = blocks(["solid"], ["full"], {0.5: 2})
    methods = ["scratch", "rest"]
    with pytest.raises(KeyboardInterrupt):
        execute(grid, methods, stop_after(3, perform), inputs, results)
    before = {run: results.read(*run) for run in results.runs()}
    assert len(before) == 3
    outcome = execute(grid, methods, perform, inputs, results)
    assert (outcome.done, outcome.left, outcome.complete) == (1, 0, 2)
    assert {run: results.read(*run) for run in before} == before, "seconds too"


def test_another_process_may_have_done_it(inputs, tmp_path, monkeypatch):
    results = Results(tmp_path / "runs.jsonl.gz", inputs.recipe)
    first = perform(Block(HALF, 0), "scratch", inputs, results)
    monkeypatch.setattr("scripts.benchmarks.transfer.run.train_and_predict", None)
    assert perform(Block(HALF, 0), "scratch", inputs, results) == first


def stop_after(runs, perform):
    count = 0

    def counted(*arguments):
        nonlocal count
        if count == runs:
            raise KeyboardInterrupt
        count += 1
        return perform(*arguments)

    return counted


def test_a_budget_leaves_whole_blocks(inputs, tmp_path):
    """A run takes 10 s by a made clock; 45 s hold two blocks of two runs, not a third."""
    now = 0.0

    def pretended(block, method, inputs, results):
        nonlocal now
        now += 10
        results.put(block, method, {"seconds": 10.0}, {})
        return {"seconds": 10.0}

    grid = blocks(["solid", "flat"], ["full"], {0.5: 2})
    results = Results(tmp_path / "runs.jsonl.gz", inputs.recipe)
    outcome = execute(grid, ["scratch", "rest"], pretended, inputs, results, 45 / 3600, clock=lambda: now)
    assert (outcome.done, outcome.left, outcome.complete) == (4, 4, 2)
    assert {block for block, _ in results.runs()} == set(grid[:2])


@pytest.mark.slow
def test_several_processes_do_the_same(inputs, tmp_path):
    one, two = (Results(tmp_path / f"{name}.jsonl.gz", inputs.recipe) for name in ("one", "two"))
    grid = blocks(["solid"], ["probe"], {0.5: 1})
    execute(grid, ["scratch", "raw"], perform, inputs, one)
    outcome = execute(grid, ["scratch", "raw"], perform, inputs, two, workers=2)
    assert outcome.left == 0
    for name in ("scratch", "raw"):
        assert one.read(grid[0], name)["val"] == two.read(grid[0], name)["val"]


@pytest.mark.slow
def test_workers_end_with_a_killed_benchmark(tmp_path, root):
    """Two workers asleep in a pool whose process is killed: both are gone within seconds."""
    program = tmp_path / "sleepers.py"
    program.write_text(
        "import multiprocessing, os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from scripts.benchmarks.runs.schedule import _begin_worker\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    with ProcessPoolExecutor(2, context, initializer=_begin_worker) as pool:\n"
        "        print(*{f.result() for f in [pool.submit(os.getpid) for _ in range(2)]}, flush=True)\n"
        "        pool.submit(time.sleep, 600), pool.submit(time.sleep, 600)\n"
        "        time.sleep(600)\n"
    )
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    benchmark = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True, env=environment)
    workers = [int(number) for number in benchmark.stdout.readline().split()]
    benchmark.kill()
    benchmark.wait()
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert workers
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_a_medicalnet_file(tmp_path, inputs):
    """Its layout: `module.` prefixes, 7³ stem, shortcuts without weights, no head but a decoder of its own."""
    network = plain_resnet(3, shortcut_type="A", bias_downsample=True, conv1_t_size=7)
    state = {f"module.{name}": value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    state["module.conv_seg.0.weight"] = torch.zeros(4, 32, 2, 2, 2)
    torch.save({"state_dict": state}, tmp_path / "resnet_10.pth")
    pretrained = find_pretrained(inputs.pretrained["plain"].parent, str(tmp_path / "resnet_10.pth"))
    results = Results(tmp_path / "results.jsonl.gz", inputs.recipe)
    run = perform(Block(HALF, 0), "medicalnet", replace(inputs, pretrained=pretrained), results)
    assert run["pretraining"]["file"] == "resnet_10.pth"
    made = build_network(METHODS["medicalnet"], tmp_path / "resnet_10.pth", NARROW, 2, 0)
    assert torch.equal(made.conv1.weight, network.conv1.weight)
    save_checkpoint(tmp_path / "other.pt", {"a.weight": torch.zeros(1)})
    with pytest.raises(CrossDError, match=r"takes a 3D ResNet of MedicalNet's layout.*other.pt is none"):
        build_network(METHODS["medicalnet"], tmp_path / "other.pt", NARROW, 2, 0)


def test_a_missing_pretraining_is_named(inputs, tmp_path):
    with pytest.raises(CrossDError, match=r"pre-training 'plain', which is not there; found are \['shift'\]"):
        perform(
            Block(HALF, 0),
            "acs",
            replace(inputs, pretrained={"shift": inputs.pretrained["shift"]}),
            Results(tmp_path / "runs.jsonl.gz", inputs.recipe),
        )


def test_a_method_fits_the_axes(inputs, tmp_path):
    with pytest.raises(CrossDError, match="'conv2d' is 2D and solid 3D"):
        perform(Block(HALF, 0), "conv2d", inputs, Results(tmp_path / "runs.jsonl.gz", inputs.recipe))


def test_the_subset_is_stratified_shared_and_of_its_seed():
    labels = torch.tensor([0] * 40 + [1] * 10)
    part = Part(torch.arange(50.0).reshape(50, 1, 1, 1, 1), labels, tuple(map(str, range(50))))
    one, same, other = (labelled_subset(part, 0.2, seed) for seed in (1, 1, 2))
    assert one.labels.bincount().tolist() == [8, 2]
    assert torch.equal(one.images, same.images)
    assert not torch.equal(one.images, other.images)
    assert labelled_subset(part, 1.0, 1) is part


def test_a_patient_is_labelled_as_a_whole():
    part = Part(torch.zeros(12, 1, 1, 1, 1), torch.tensor([0, 1] * 6), tuple("aabbccddeeff"))
    kept = labelled_subset(part, 0.5, 0).patients
    assert all(kept.count(patient) == 2 for patient in kept)


def test_folds_of_the_paper(made):
    task = read_task("solid", made / "medmnist" / "solid.npz")
    folds = [paper_fold(task, 1, fold) for fold in range(5)]
    tested = [patient for fold in folds for patient in fold["test"].patients]
    assert sorted(tested) == sorted({*tested})
    assert len(tested) == 54
    # scikit-learn's KFold(5, shuffle=True, random_state=43) on 54 cases
    assert [len(fold["test"].patients) for fold in folds] == [11, 11, 11, 11, 10]
    order = np.random.RandomState(43).permutation(54)
    whole = [f"{split} {i}" for split, n in {"train": 24, "val": 12, "test": 18}.items() for i in range(n)]
    assert set(folds[0]["test"].patients) == {whole[i] for i in order[:11]}
    rest = sorted(order[11:])
    assert folds[0]["val"].patients == tuple(whole[i] for i in rest[: len(rest) // 5])


@pytest.mark.slow
def test_the_paper_protocol(inputs, tmp_path):
    run = perform(
        Block(Cell("solid", "paper", 1.0), 7), "raw", inputs, Results(tmp_path / "runs.jsonl.gz", inputs.recipe)
    )
    assert run["steps"] == 15 * 5  # 35 training cases in batches of 8
    assert len(run["val"]["curve"]) == 15


def test_draws_cover_every_case_and_move_it():
    part = Part(torch.rand(5, 1, 6, 6, 6) + 1, torch.arange(5), tuple("abcde"))
    draws = Draws(part, 20, shift=1, flip_axes=(0, 2), background=-1.0, seed=4)
    items = [draws[index] for index in range(20)]
    for start in range(0, 20, 5):
        assert sorted(int(item["label"]) for item in items[start : start + 5]) == [0, 1, 2, 3, 4]
    assert all(item["image"].shape == (1, 6, 6, 6) for item in items)
    assert any((item["image"] == -1).any() for item in items)
    again = Draws(part, 20, shift=1, flip_axes=(0, 2), background=-1.0, seed=4)
    assert all(torch.equal(a["image"], again[index]["image"]) for index, a in enumerate(items))


def test_the_best_check_is_kept():
    network = torch.nn.Linear(1, 1, bias=False)
    best = BestCheck(network, {"val_auc": 1, "val_loss": -1})

    engine = SimpleNamespace(state=SimpleNamespace(metrics={}))
    for weight, auc, loss in ((1.0, 0.7, 0.5), (2.0, 0.9, 0.6), (3.0, 0.9, 0.4), (4.0, 0.8, 0.1)):
        torch.nn.init.constant_(network.weight, weight)
        engine.state.metrics = {"val_auc": auc, "val_loss": loss}
        best(engine)
    assert best.best == 2
    assert best.state["weight"].item() == 3.0


def test_bfloat16_takes_a_gpu():
    seen = []

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 2)

        def forward(self, x):
            y = self.layer(x)
            seen.append(y.dtype)
            return y

    network = Network()
    assert Forward(False)(torch.zeros(1, 2), network).dtype == torch.float32
    assert seen == [torch.float32]
    with pytest.raises(CrossDError, match=r"Mixed precision \(amp\) needs a CUDA device, got 'cpu'"):
        Forward(True)(torch.zeros(1, 2), network)


def test_normalisation_of_the_checkpoint(inputs):
    assert normalisation(inputs.pretrained, "shift") == (0.25, 0.5)
    assert normalisation(inputs.pretrained, None) == (0.25, 0.5)
    assert normalisation({}, None) == (0.0, 1.0)


def test_normalisation_without_a_card(inputs, tmp_path):
    """RadImageNet's, for a checkpoint of the official layout beside others."""
    network = CrossDResNet(2, 3, 5, depth=10, width=4)
    torch.save({"model": network.state_dict()}, tmp_path / "shift.pt")
    expected = normalisation({"shift": tmp_path / "shift.pt"}, "shift")
    assert expected != (0.25, 0.5)
    assert normalisation({**inputs.pretrained, "shift": tmp_path / "shift.pt"}, "shift") == expected


def test_a_set_of_the_pre_training_is_refused(inputs, made, tmp_path):
    content = torch.load(inputs.pretrained["shift"], weights_only=True)
    content["card"]["data"] = "other.zip, solid.npz"
    torch.save(content, tmp_path / "shift.pt")
    seen = replace(inputs, pretrained={"shift": tmp_path / "shift.pt"})
    with pytest.raises(CrossDError, match=r"pre-trained on others; .*shift.pt was pre-trained on other.zip, solid.npz"):
        perform(Block(Cell("solid", "probe", 0.5), 0), "raw", seen, Results(tmp_path / "runs.jsonl.gz", inputs.recipe))


def test_two_key_files_and_colours(tmp_path):
    images = np.zeros((20, 12, 12, 3), np.uint8)
    images[..., 0] = 255
    np.savez(tmp_path / "colours.npz", images=images, labels=np.arange(20) % 2)
    task = read_task("colours", tmp_path / "colours.npz", 16)
    assert {split: len(part.labels) for split, part in task.parts.items()} == {"train": 14, "val": 2, "test": 4}
    assert task.parts["train"].images.shape[1:] == (1, 16, 16)
    torch.testing.assert_close(task.parts["train"].images.mean().item(), 1 / 3)


@pytest.mark.parametrize(
    ("shape", "low", "high", "expected"),
    [
        ((10, 2, 6, 6, 6), -1000, 3000, (1, 6, 6, 6)),  # Hounsfield units, two channels
        ((10, 6, 6, 6), 0, 22016, (1, 6, 6, 6)),
        ((10, 6, 6, 6, 1), 0, 255, (1, 6, 6, 6)),
        ((10, 20, 12), 0, 1, (1, 16, 16)),
        ((10, 20, 16, 3), 0, 255, (1, 16, 16)),
    ],
)
def test_every_layout_of_the_paper_s_files(tmp_path, shape, low, high, expected):
    images = np.random.default_rng(0).uniform(low, high, shape).astype(np.float32)
    np.savez(tmp_path / "set.npz", images=images, labels=np.arange(10)[:, None] % 2)
    part = read_task("set", tmp_path / "set.npz", 16).parts["train"]
    assert part.images.shape[1:] == expected
    assert part.images.min() >= 0
    assert 0.4 < float(part.images.max()) <= 1
    assert 0.3 < float(part.images.mean()) < 0.7


def test_left_and_right_organs_are_not_mirrored(tmp_path):
    for name, axes in (("organmnist3d", ()), ("nodulemnist3d", (0, 1, 2))):
        np.savez(tmp_path / "set.npz", images=np.zeros((20, 6, 6, 6), np.uint8), labels=np.arange(20) % 2)
        assert read_task(name, tmp_path / "set.npz").flip_axes == axes


def test_several_labels_a_case_are_refused(tmp_path):
    np.savez(tmp_path / "many.npz", images=np.zeros((10, 6, 6, 6)), labels=np.zeros((10, 14), int))
    with pytest.raises(CrossDError, match=r"one whole number per case.*has labels \(10, 14\) int64 for 10"):
        read_task("many", tmp_path / "many.npz")


def test_folds_keep_a_patient_together():
    cases = 30
    part = Part(torch.zeros(cases, 1, 2, 2, 2), torch.arange(cases) % 3, tuple(str(case // 3) for case in range(cases)))
    task = Task("cubes", {"train": part, "val": part.take([]), "test": part.take([])}, ())
    for fold in range(5):
        held = {split: set(found.patients) for split, found in paper_fold(task, 1, fold).items()}
        assert not held["train"] & held["test"] | held["train"] & held["val"] | held["val"] & held["test"]
        assert sum(map(len, held.values())) == 10


def test_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "odd.npz", pictures=np.zeros(3))
    with pytest.raises(CrossDError, match=r"holds images and labels.*odd.npz has pictures"):
        read_task("odd", tmp_path / "odd.npz")
    with pytest.raises(CrossDError, match=r"The data of odd must be there, got .*none.npz"):
        read_task("odd", tmp_path / "none.npz")


@pytest.mark.slow
def test_hippocampus_cubes(shared_data):
    task = read_task("hippocampusparts", shared_data / "hippocampus_msd")
    assert task.classes == 3
    assert task.flip_axes == (2,), "mirroring front and back would exchange the classes"
    patients = [set(part.patients) for part in task.parts.values()]
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    assert task.parts["test"].images.shape[1:] == (1, 24, 24, 24)


def test_crossd_networks_of_the_table_load_strictly(inputs):
    """Weights of another motion are refused, so a row cannot silently be another method."""
    wrong = replace(METHODS["rest"], network={"alignment": "rest", "motion": "rotate"})
    with pytest.raises(CrossDError, match="keep the motion they were trained with"):
        build_network(wrong, inputs.pretrained["shift"], NARROW, 2, 0)
    assert isinstance(build_network(METHODS["dynamic"], inputs.pretrained["shift"], NARROW, 2, 0), CrossDResNet)

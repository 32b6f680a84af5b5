"""Two processes fine-tune as one with batches of twice the size, and go on when one of them is killed."""

from __future__ import annotations

import pytest
import torch
from crossd.checkpoints import read_checkpoint
from crossd.errors import CrossDError
from crossd.processes import check_launch, on_first, process_count, was_restarted
from crossd.training import distributed_network, set_trainable, validation_sampler
from crossd.training.distributed import SyncBatchNormOnCPU
from crossd.training.loss import SharedCrossEntropy
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ..configs import CONFIGS
from ..drivers import drive
from ..many_cases import run_and_kill_one, torchrun

OPTIONS = {
    "weights": "none",
    "roi_size": [8, 8, 8],
    "depth": 10,
    "width": 4,
    "epochs": 2,
    "warmup_epochs": 0,
    "class_weights": [1.0, 3.0],
    "seed": 1,  # one process gets 1 case of the class that weighs 3, the other 5: their batches weigh differently
    "tensorboard": False,
    # a step is the gradient itself: Adam's first ones are its sign, and rounding decides that of the smallest
    "optimizer": {
        "_target_": "torch.optim.SGD",
        "params": "$[parameter for parameter in @net.parameters() if parameter.requires_grad]",
        "lr": 0.05,
    },
}


@pytest.fixture(scope="module")
def labels(volumes, tmp_path_factory):
    """12 training cases and 5 to validate, so that one process has 3 of them and the other 2."""
    text = (volumes / "labels.csv").read_text().replace("p17,val", "p17,test")
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def runs(volumes, labels, tmp_path_factory):
    """Folders of a run in one process, one in two, and one of two that were killed; and how their processes ended."""
    folder = tmp_path_factory.mktemp("runs")

    def step(name, processes, **more):
        overlay = ["multi_gpu_train"] if processes > 1 else []
        options = {**OPTIONS, "images": str(volumes / "images"), "labels": str(labels), "batch_size": 12 // processes}
        return {
            "configs": [CONFIGS / f"{config}.json" for config in ("train", *overlay)],
            "workflow_type": "train",
            "options": {**options, "output_dir": str(folder / name)},
            "processes": processes,
            "log": str(folder / f"{name}.log"),
            **more,
        }

    steps = [
        step("one", 1),
        step("two", 2),
        # datalist.csv and classes.csv, then model.pt and the checkpoint of each epoch: in the middle of the second
        step("killed", 2, kill={"rank": 0, "when": "before a rename", "count": 5}),
        step("killed", 2, environment={"TORCHELASTIC_RESTART_COUNT": "1"}),
        step("two", 1),
    ]
    return folder, drive("process_driver.py", folder, steps)


@pytest.mark.slow
def test_weights_and_metrics_are_those_of_one_process(runs):
    folder, ended = runs
    assert ended[:2] == [[0], [0, 0]], (folder / "two.log").read_text()
    one, two = (read_checkpoint(folder / name / "checkpoint_0001.pt") for name in ("one", "two"))
    for name, value in one["model"].items():  # after a step with all 12 cases
        torch.testing.assert_close(two["model"][name], value, rtol=1e-4, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    assert one["best_metrics"]["val_auc"] == two["best_metrics"]["val_auc"]
    assert one["best_metrics"]["val_loss"] == pytest.approx(two["best_metrics"]["val_loss"], rel=1e-5)
    assert (folder / "one" / "datalist.csv").read_text() == (folder / "two" / "datalist.csv").read_text()


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_bits(runs):
    folder, ended = runs
    assert ended[2][0] == -9
    assert ended[3] == [0, 0], (folder / "killed.log").read_text()
    assert (folder / "killed.log").read_text().count("Epoch: 1/2, Iter: 1/1") == 1  # it was not done again
    for file in ("model.pt", "checkpoint_0002.pt"):
        one, two = (read_checkpoint(folder / name / file)["model"] for name in ("two", "killed"))
        assert all(torch.equal(value, two[name]) for name, value in one.items())


@pytest.mark.slow
def test_another_number_of_processes_is_another_run(runs):
    folder, ended = runs
    assert ended[4] == [1]
    said = (folder / "two.log").read_text()
    assert "batch_size was 6 and is 12; processes was 2 and is 1. Give the same settings" in said


def test_a_case_for_each_process():
    assert list(validation_sampler("abc")) == [0, 1, 2]
    with pytest.raises(CrossDError, match=r"needs a validation case, got 2 cases for 3 processes\. Start fewer"):
        validation_sampler("ab", 0, 3)


def test_processes_without_the_overlay(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_launch(2, "train")
    with pytest.raises(CrossDError, match=r"got 2 processes of torchrun and train.json for 1\. Run torchrun .*train'?"):
        check_launch(1, "train")


def test_alone_there_is_nothing_to_share(monkeypatch):
    assert process_count() == 1
    assert on_first(lambda: 3) == 3
    assert not was_restarted()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    assert was_restarted()
    logits, target, weights = torch.randn(4, 2), torch.tensor([0, 1, 1, 0]), torch.tensor([1.0, 3.0])
    expected = nn.CrossEntropyLoss(weight=weights)(logits, target)
    assert torch.equal(SharedCrossEntropy(weight=weights)(logits, target), expected)


def test_frozen_norms_stay_frozen_when_they_are_synchronised(monkeypatch):
    monkeypatch.setattr(DistributedDataParallel, "__init__", lambda self, module, **_: nn.Module.__init__(self))
    network = set_trainable(
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2)), "head", "3"
    )
    distributed_network(network)
    assert isinstance(network[1], SyncBatchNormOnCPU)
    network.train()(torch.randn(3, 1, 2, 2))
    assert not network[1].training
    assert torch.equal(network[1].running_mean, torch.zeros(2))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_torch_elastic_starts_a_killed_process_again(runs, volumes, labels):
    folder, _ = runs
    given = {**OPTIONS, "images": volumes / "images", "labels": labels, "batch_size": 6, "epochs": 4}
    folders = {name: folder / name for name in ("left_alone", "elastic")}
    for name, output in folders.items():
        arguments, log = torchrun("train", {**given, "output_dir": output}), folder / f"{name}.log"
        first = output / "checkpoint_0001.pt"
        assert run_and_kill_one(arguments, log, first.exists if name == "elastic" else None) == 0, log.read_text()
    assert "exitcode: -9" in (folder / "elastic.log").read_text()
    for file in ("model.pt", "checkpoint_0004.pt"):
        one, two = (read_checkpoint(output / file)["model"] for output in folders.values())
        assert all(torch.equal(value, two[name]) for name, value in one.items())

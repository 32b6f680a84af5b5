"""Two processes over gloo train as one process with batches of twice the size, and all of them end."""

from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from crossd.checkpoints import read_checkpoint
from crossd.conv import CrossDConv2d
from crossd.errors import CrossDError
from crossd.processes import join_processes, leave_processes, process_device
from crossd.training import distributed_network
from crossd.training.distributed import SyncBatchNormOnCPU
from torch import nn

from ..configs import run, started


def build():
    torch.manual_seed(0)
    return nn.Sequential(CrossDConv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3, momentum=0.3), nn.ReLU())


IMAGES = torch.randn(6, 1, 9, 9, generator=torch.Generator().manual_seed(1))


def worker(rank, folder):
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": "2"}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    assert join_processes() == rank  # a group that is there is kept
    network = distributed_network(build())
    network(IMAGES[rank::2]).square().sum().backward()
    if rank == 0:
        gradients = {name: p.grad for name, p in network.module.named_parameters()}
        torch.save({"gradients": gradients, "state": network.module.state_dict()}, f"{folder}/result")
    leave_processes(network)
    assert not dist.is_initialized()


@pytest.mark.slow
def test_statistics_motion_and_gradients_are_those_of_all_images(tmp_path):
    mp.spawn(worker, (str(tmp_path),), nprocs=2)
    result = torch.load(tmp_path / "result", weights_only=True)
    network = build()
    network(IMAGES).square().sum().backward()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(result["state"][name], value)
    assert result["state"]["0.running_motion"].abs().sum() > 0
    rounding = 1e-6 * max(float(parameter.grad.abs().max()) for parameter in network.parameters())
    for name, parameter in network.named_parameters():
        together = 2 * result["gradients"][name]  # DDP averages what is summed here
        if name == "0.predictor.0.bias":  # a batch norm follows, so this is 0 but for rounding
            assert float(together.abs().max()) < 1e-3 * float(result["gradients"]["0.predictor.0.weight"].abs().max())
        else:
            torch.testing.assert_close(together, parameter.grad, atol=rounding, rtol=1e-3)


def test_alone_the_batch_norm_for_cpus_is_torchs_own():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    nn.init.uniform_(norm.weight)
    ours = SyncBatchNormOnCPU.of(norm)
    assert ours.weight is norm.weight
    x = torch.randn(4, 3, 5, 5)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    expected = norm(x)
    state = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.load_state_dict(before)
    torch.testing.assert_close(ours(x), expected)
    torch.testing.assert_close(ours.running_mean, state["running_mean"])
    assert torch.equal(ours.eval()(x), norm.eval()(x))


def test_without_torchrun(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CrossDError, match=r"started by torchrun, got no RANK, WORLD_SIZE, LOCAL_RANK\. Run torchrun"):
        join_processes()
    assert process_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.slow
@pytest.mark.timeout(720)
def test_two_processes_train_as_one(images, small, tmp_path):
    both, options = ("pretrain_2d", "multi_gpu_pretrain_2d"), {**small, "images": images, "epochs": 2}
    two = {**options, "batch_size": 4, "output_dir": tmp_path / "two"}
    done = started(*both, processes=2, **two)
    assert done.returncode == 0, done.stderr
    run("pretrain_2d", **options, output_dir=tmp_path / "one")
    together, alone = (read_checkpoint(tmp_path / name / "checkpoint_0002.pt") for name in ("two", "one"))
    for name, value in alone["model"].items():
        if value.is_floating_point() and not name.endswith("predictor.0.bias"):  # its gradient is rounding: see above
            # Adam's first steps are the sign of the gradient: rounding decides those of the smallest ones
            difference = float((together["model"][name] - value).norm() / value.norm().clamp(min=0.05))
            assert difference < 0.05, (name, difference)
    assert together["model"]["conv1.running_motion"].abs().sum() > 0
    lists = [(tmp_path / name / "images.csv").read_text() for name in ("two", "one")]
    assert lists[0] == lists[1]
    assert done.stderr.count("best epoch") + done.stdout.count("best epoch") >= 1

    more = started(*both, processes=2, **two)  # a run that has ended goes on: nothing is left to do
    assert more.returncode == 0, more.stderr
    assert "resumed after epoch 2" in more.stderr + more.stdout

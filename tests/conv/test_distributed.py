"""Under DistributedDataParallel two processes give the single-process gradients, and nothing is left unused."""

from __future__ import annotations

import gc
from datetime import timedelta

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from crossd import CrossDResNet
from torch import nn
from torch.nn.parallel import DistributedDataParallel

IMAGES, TARGETS = torch.randn(4, 1, 24, 24, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 1, 0])
ALIGNMENTS = ("dynamic", "rest")


def build(alignment: str) -> nn.Module:
    torch.manual_seed(0)
    network = CrossDResNet(2, 1, 2, depth=10, width=4, alignment=alignment)
    return network.eval()  # batch norm on fixed statistics: the gradient of a mean is then the mean of gradients


def gradients(rank: int, alignment: str) -> dict[str, torch.Tensor]:
    """Those of one process. The wrapped network ends with this function, which is while the group still exists."""
    network = DistributedDataParallel(build(alignment))  # find_unused_parameters stays False: none may be unused
    for _ in range(2):  # a second pass fails when a parameter got no gradient in the first
        network.zero_grad()
        loss = nn.functional.cross_entropy(network(IMAGES[rank::2]), TARGETS[rank::2])
        loss.backward()
    return {name: p.grad for name, p in network.module.named_parameters() if p.requires_grad}


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"  # no port, so nothing else on the machine can be in the way
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2, timeout=timedelta(seconds=100))
    for alignment in ALIGNMENTS:
        found = gradients(rank, alignment)
        if rank == 0:
            torch.save(found, f"{folder}/{alignment}")
    # A DistributedDataParallel that outlives this call owns the group. Python would then free it holding the
    # interpreter's lock, and wait for gloo's threads, which wait for that lock: a deadlock in most runs.
    gc.collect()
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_single_process_gradient(tmp_path):
    mp.spawn(worker, (str(tmp_path),), nprocs=2)
    for alignment in ALIGNMENTS:
        network = build(alignment)
        nn.functional.cross_entropy(network(IMAGES), TARGETS).backward()
        gradients = torch.load(tmp_path / alignment, weights_only=True)
        expected = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
        assert any("predictor" in name for name in gradients) == (alignment == "dynamic")
        torch.testing.assert_close(gradients, expected, atol=1e-5, rtol=1e-4)

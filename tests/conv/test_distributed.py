"""Under DistributedDataParallel two processes give the single-process gradients, and nothing is left unused."""

from __future__ import annotations

import socket

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from crossd import CrossDResNet
from torch import nn
from torch.nn.parallel import DistributedDataParallel

IMAGES, TARGETS = torch.randn(4, 1, 24, 24, generator=torch.Generator().manual_seed(1)), torch.tensor([0, 1, 1, 0])


def build(alignment: str) -> nn.Module:
    torch.manual_seed(0)
    network = CrossDResNet(2, 1, 2, depth=10, width=4, alignment=alignment)
    return network.eval()  # batch norm on fixed statistics: the gradient of a mean is then the mean of gradients


def worker(rank: int, port: int, alignment: str, path: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    network = DistributedDataParallel(build(alignment))  # find_unused_parameters stays False: none may be unused
    for _ in range(2):  # a second pass fails when a parameter got no gradient in the first
        network.zero_grad()
        loss = nn.functional.cross_entropy(network(IMAGES[rank::2]), TARGETS[rank::2])
        loss.backward()
    if rank == 0:
        torch.save({name: p.grad for name, p in network.module.named_parameters() if p.requires_grad}, path)
    dist.destroy_process_group()


def test_two_processes_give_the_single_process_gradient(tmp_path):
    for alignment in ("dynamic", "rest"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        mp.spawn(worker, (port, alignment, str(tmp_path / alignment)), nprocs=2)
        network = build(alignment)
        nn.functional.cross_entropy(network(IMAGES), TARGETS).backward()
        gradients = torch.load(tmp_path / alignment, weights_only=True)
        expected = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
        assert any("predictor" in name for name in gradients) == (alignment == "dynamic")
        torch.testing.assert_close(gradients, expected, atol=1e-5, rtol=1e-4)

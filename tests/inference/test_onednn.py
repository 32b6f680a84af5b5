"""What is taken along by a convolution, what is not, and that the result is the same either way."""

from __future__ import annotations

import pytest
import torch
from crossd.conv import fold
from crossd.inference.onednn import FusedConv, fuse_convolutions
from crossd.inference.runtimes import fuse_batch_norm
from crossd.networks import CrossDResNet
from torch import Tensor, fx, nn

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")


class Layers(nn.Module):
    """One convolution of stride 1 whose output has the size of its input, and what follows it."""

    def __init__(self, following: str, **options: object) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(4, 4, 3, **{"padding": 1, **options})
        self.relu = nn.ReLU()
        self.following = following

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolution(x)
        if self.following == "relu":
            return self.relu(y)
        if self.following == "sum":
            return x + y
        if self.following == "sum in place, relu":
            y += x
            return self.relu(y)
        if self.following == "sum of another size":
            return y + x[:, :1]
        if self.following == "sum with itself":
            return y + y
        if self.following == "relu, and used again":
            return self.relu(y) + y
        if self.following == "scaled sum":
            return torch.add(y, x, alpha=2)
        return y


FOLLOWING = {  # what follows: how many operations are left
    "nothing": 1,
    "relu": 1,
    "sum": 1,
    "sum in place, relu": 1,
    "sum of another size": 3,  # the slice and the sum
    "sum with itself": 2,
    "relu, and used again": 3,
    "scaled sum": 2,
}


def operations(program: fx.GraphModule) -> int:
    return len([node for node in program.graph.nodes if node.op.startswith("call")])


@torch.no_grad()
@pytest.mark.parametrize("following", FOLLOWING)
def test_what_follows_a_convolution(following: str) -> None:
    layers, x = Layers(following).eval(), torch.randn(2, 4, 5, 6, 7)
    program = fuse_convolutions(fx.symbolic_trace(layers), x)
    assert operations(program) == FOLLOWING[following]
    assert any(isinstance(module, FusedConv) for module in program.modules())
    for volumes in (x, torch.randn(3, 4, 6, 5, 4), x.contiguous(memory_format=torch.channels_last_3d)):
        kept = volumes.clone()
        torch.testing.assert_close(program(volumes), layers(volumes), atol=1e-5, rtol=0)
        assert torch.equal(volumes, kept)


@torch.no_grad()
@pytest.mark.parametrize("options", [{"padding_mode": "circular"}, {"padding": "same", "kernel_size": 4}], ids=str)
def test_other_padding_is_left_to_pytorch(options: dict[str, object]) -> None:
    layers, x = Layers("relu").eval(), torch.randn(2, 4, 5, 6, 7)
    size = options.pop("kernel_size", 3)
    layers.convolution = nn.Conv3d(4, 4, size, **{"padding": 1, **options})
    program = fuse_convolutions(fx.symbolic_trace(layers), x)
    assert not any(isinstance(module, FusedConv) for module in program.modules())
    assert torch.equal(program(x), layers(x))


@torch.no_grad()
@pytest.mark.parametrize(("depth", "convolutions"), [(18, 20), (50, 53)])
def test_of_a_resnet_convolutions_pooling_and_head_are_left(depth: int, convolutions: int) -> None:
    network = fold(CrossDResNet(3, in_channels=1, num_classes=2, depth=depth, width=2).eval())
    x = torch.randn(2, 1, 20, 17, 16)
    program = fuse_convolutions(fuse_batch_norm(network), x)
    kinds = [type(module).__name__ for module in program.modules()]
    assert kinds.count("FusedConv") == convolutions
    assert "ReLU" not in kinds
    assert operations(program) == convolutions + 5  # two poolings, size, view and the linear layer
    torch.testing.assert_close(program(x), network(x), atol=1e-4, rtol=0)

"""A plain network as few oneDNN operations: each convolution takes the ReLU and the residual sum after it along.

These are the operations that `torch.compile` uses on a CPU when it freezes the weights, called without a compiler. The
weights are stored in the layout that oneDNN wants for inputs of the example's size, and between the convolutions the
channels of a voxel stay next to each other in memory, so nothing is reordered from call to call.
"""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

_SUMS = (operator.add, operator.iadd, torch.add)


class FusedConv(nn.Module):
    """`act(conv(x) + other)`, where the sum and the ReLU are optional.

    Args:
        convolution: an `nn.Conv2d` or `nn.Conv3d` padded with zeros by numbers; its weights are copied.
        relu: whether a ReLU follows.
        input_size: of the inputs to expect; others are computed too, perhaps slower.
    """

    def __init__(self, convolution: nn.Conv2d | nn.Conv3d, relu: bool, input_size: torch.Size) -> None:
        super().__init__()
        options = (convolution.padding, convolution.stride, convolution.dilation)
        self.options = (*(list(option) for option in options), convolution.groups)
        self.relu = relu
        reorder = torch.ops.mkldnn._reorder_convolution_weight
        self.weight = reorder(convolution.weight.detach(), *self.options, list(input_size))
        self.bias = None if convolution.bias is None else convolution.bias.detach()

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """`x` `(batch, in, *spatial)`, and `other` like the result."""
        convolve = torch.ops.mkldnn._convolution_pointwise
        if other is None:
            return convolve(x, self.weight, self.bias, *self.options, "relu" if self.relu else "none", [], "")
        last = "relu" if self.relu else None
        return convolve.binary(x, other, self.weight, self.bias, *self.options, "add", 1.0, last, [], None)


def fuse_convolutions(traced: fx.GraphModule, example: Tensor) -> fx.GraphModule:
    """Replace each convolution, with the sum and the ReLU that follow it and nothing else uses, by a `FusedConv`.

    Args:
        traced: a network on the CPU, without training-only layers; changed in place.
        example: of its inputs.

    Returns:
        `traced`.

    >>> network = fx.symbolic_trace(nn.Sequential(nn.Conv3d(1, 2, 3, padding=1), nn.ReLU()))
    >>> [type(module).__name__ for module in fuse_convolutions(network, torch.randn(1, 1, 4, 4, 4)).children()]
    ['FusedConv']
    """
    ShapeProp(traced).propagate(example)
    modules = dict(traced.named_modules())
    graph = traced.graph
    shapes = {node: node.meta["tensor_meta"].shape for node in graph.nodes if "tensor_meta" in node.meta}
    count = 0
    for node in list(graph.nodes):
        if not _is_plain_convolution(node, modules):
            continue
        inputs, last, relu = [node.args[0]], node, False
        following = _only_user(last)
        if following is not None and following.target in _SUMS and not following.kwargs:
            other = following.args[1] if following.args[0] is node else following.args[0]
            if other is not node and shapes.get(other) == shapes[node]:
                inputs, last = [*inputs, other], following
                following = _only_user(last)
        if following is not None and _module_of(following, modules, (nn.ReLU,)):
            last, relu = following, True
        name, count = f"fused_{count}", count + 1
        traced.add_submodule(name, FusedConv(modules[node.target], relu, shapes[node.args[0]]))
        with graph.inserting_before(last):
            new = graph.call_module(name, tuple(inputs))
        shapes[new] = shapes[last]
        last.replace_all_uses_with(new)
    for node in reversed(list(graph.nodes)):  # what nothing uses any more
        if node.op not in ("placeholder", "output") and not node.users:
            graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced


def _module_of(node: fx.Node, modules: dict[str, nn.Module], kinds: tuple[type[nn.Module], ...]) -> nn.Module | None:
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    return module if type(module) in kinds else None


def _is_plain_convolution(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    module = _module_of(node, modules, (nn.Conv2d, nn.Conv3d))
    return module is not None and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None

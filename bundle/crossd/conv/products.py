"""Matrix products by the faster of the CPU's libraries, and when they may be used."""

from __future__ import annotations

import torch
from torch import Tensor


def plain_cpu(x: Tensor, weight: Tensor) -> bool:
    """Whether this is plain CPU arithmetic in one full precision: what hand-written passes with their own backward are
    for. Autocast, `torch.compile`, tracing, `torch.func` and forward-mode gradients keep to what they can see through.

    >>> plain_cpu(torch.zeros(1), torch.zeros(1)), plain_cpu(torch.zeros(1).bfloat16(), torch.zeros(1))
    (True, False)
    """
    if x.device.type != "cpu" or x.dtype != weight.dtype or x.dtype not in (torch.float32, torch.float64):
        return False
    if x.numel() == 0:
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or torch.is_autocast_enabled("cpu"):
        return False
    # `_current_level` and the functorch check have no public counterpart
    return not torch._C._are_functorch_transforms_active() and torch.autograd.forward_ad._current_level < 0


def times_transposed(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right.T` of `(m, k)` and `(n, k)`, without a gradient of its own.

    In float32 it goes through oneDNN, as convolutions do, where torch has it. Elsewhere it is `torch.mm`, which on CPUs
    of makers other than Intel's has half of the vector width (measured in `docs/performance.md`). The operator behind
    has no public name; it is the one that `torch.compile` calls for linear layers.

    >>> times_transposed(torch.eye(2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    if left.dtype == torch.float32 and _has_onednn() and torch.backends.mkldnn.enabled:
        y: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
        return y
    return torch.mm(left, right.t())


def moved_kernels(weight: Tensor, matrix: Tensor) -> Tensor:
    """`crossd.motion.move_kernel` without a gradient, by `times_transposed`.

    >>> from crossd.motion import move_kernel
    >>> weight, matrix = torch.randn(4, 3, 2, 2, 2), torch.randn(5, 4, 8)
    >>> torch.allclose(moved_kernels(weight, matrix), move_kernel(weight, matrix), atol=1e-5)
    True
    """
    moved = times_transposed(weight.detach().flatten(2).flatten(0, 1), matrix.detach().flatten(0, 1))
    return moved.unflatten(1, matrix.shape[:2]).unflatten(0, weight.shape[:2]).permute(2, 0, 1, 3)


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")

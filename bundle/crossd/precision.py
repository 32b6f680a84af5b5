"""Where mixed precision is allowed: on CUDA devices, and nowhere else."""

from __future__ import annotations

import torch

from crossd.errors import CrossDError


def mixed_precision(amp: bool, device: torch.device | str) -> bool:
    """Whether the forward pass of a run is cast to lower precision by `torch.autocast`.

    On a CPU it is refused: torch 2.13 computes bfloat16 weight gradients there by a oneDNN kernel
    (`jit_bf16:avx512_core_bf16`) that reads memory which was never written, and writes memory that is not its own,
    where a map has one or two voxels along an axis. Gradients are then ten times wrong or NaN, mostly without a word.

    Args:
        amp: what was asked for.
        device: of the network.

    Raises:
        CrossDError: when it was asked for on another device than CUDA.

    >>> mixed_precision(False, "cpu"), mixed_precision(True, "cuda:0")
    (False, True)
    """
    kind = torch.device(device).type
    if amp and kind != "cuda":
        raise CrossDError(
            f"Mixed precision (amp) needs a CUDA device, got {kind!r}, where torch's bfloat16 gradients are wrong for "
            "small maps. Leave out --amp true, or choose a GPU by --device."
        )
    return amp

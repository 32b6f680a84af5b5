"""Run a trained network by TorchScript, once that has been seen to compute the same."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from crossd.conv import CrossDConv, fold
from crossd.errors import CrossDError, one_of

Forward = Callable[[Tensor], tuple[Tensor, ...]]  # logits, and features where the network gives them

BACKENDS = ("auto", "eager", "torchscript")
TOLERANCE = 1e-4

logger = logging.getLogger(__name__)


class Accelerated(nn.Module):
    """A trained network that TorchScript computes from the first batch on.

    The first batch is computed twice, by the network in PyTorch ("eager") and by TorchScript. Where their logits differ
    by more than `1e-4 · max(1, largest logit)`, "torchscript" is refused, and "auto" stays eager and says so in the
    log. What is chosen depends on the network, the device and the first batch, never on a clock.

    - `auto`: `torchscript` on a CPU; on other devices, for other numbers than float32, and where kernels depend on the
      input, `eager`.
    - `eager`: the network with fixed kernels (`crossd.conv.fold`), otherwise as it is.
    - `torchscript`: batch norm multiplied into the convolutions, traced, frozen and optimised for the machine.

    Under `torch.autocast` the network runs eager. Any batch size and window size can follow the first; `MultiView` is
    traced for one window size, and runs eager at others. The parameters
    are those of the folded copy of the network; later changes of them, or `to(device)`, do not reach TorchScript.

    Args:
        network: maps `(batch, channel, *spatial)` to logits `(batch, classes)`. It is not changed: a copy of it with
            fixed kernels runs, in evaluation mode.
        backend: one of `BACKENDS`.

    Attributes:
        chosen: the name of what runs; None before the first batch.
        refusal: why the backend asked for by name cannot be used, once the first batch has shown it; None before.

    Raises:
        CrossDError: for an unknown backend, or "torchscript" for a network whose kernels depend on the input; in the
            first batch, where it cannot run the network or computes something else.

    >>> layers = nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.AdaptiveAvgPool3d(1), nn.Flatten()
    >>> network = Accelerated(nn.Sequential(*layers), "torchscript")
    >>> network(torch.randn(4, 1, 8, 8, 8)).shape, network.chosen
    (torch.Size([4, 2]), 'torchscript')
    >>> network(torch.randn(1, 1, 9, 7, 8)).shape
    torch.Size([1, 2])
    """

    def __init__(self, network: nn.Module, backend: str = "auto") -> None:
        super().__init__()
        self.backend = one_of("backend", backend, BACKENDS)
        self.chosen: str | None = None
        self._forward: Forward | None = None
        self.refusal: str | None = None
        layers = [module for module in network.modules() if isinstance(module, CrossDConv)]
        self._dynamic = any(layer.alignment == "dynamic" and layer.predictor is not None for layer in layers)
        if self._dynamic and backend == "torchscript":
            raise CrossDError(
                f"a backend needs kernels that do not depend on the input, got backend {backend!r} for a network with "
                "alignment 'dynamic': use backend 'eager', or crossd.set_alignment(network, 'running') first"
            )
        self.network = copy.deepcopy(network) if self._dynamic else fold(network)
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `(batch, classes)` of `(batch, channel, *spatial)`."""
        return self.with_features(inputs)[0]

    def with_features(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits, and from the same pass the network's features `(batch, features)`; None where it gives none."""
        inputs = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        if torch.is_autocast_enabled(inputs.device.type):
            logits, *features = _Both(self.network)(inputs)
        elif self.refusal is not None:
            raise CrossDError(self.refusal)
        else:
            logits, *features = self._first(inputs) if self._forward is None else self._forward(inputs)
        return logits, features[0] if features else None

    @torch.no_grad()
    def _first(self, inputs: Tensor) -> tuple[Tensor, ...]:
        both = _Both(self.network).eval()
        expected = outputs = both(inputs)
        if not expected[0].isfinite().all():
            return expected  # nothing to compare with: the next batch decides
        plain_cpu = inputs.device.type == "cpu" and inputs.dtype == torch.float32
        self.chosen, forward = "eager", cast(Forward, both.__call__)
        if self.backend == "torchscript" or (self.backend == "auto" and plain_cpu and not self._dynamic):
            try:
                forward, outputs = _prepare(both, inputs, expected[0])
                self.chosen = "torchscript"
                if hasattr(self.network, "joins"):
                    forward = _at_size(inputs.shape[1:], forward, both)
            except CrossDError as error:
                if self.backend != "auto":
                    self.chosen, self.refusal = None, str(error)
                    raise
                logger.warning(f"{error}; it runs eager")
        self._forward = forward
        return outputs


class _Both(nn.Module):
    """A network's logits, and its features where it has `with_features`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> tuple[Tensor, ...]:
        seen = getattr(self.network, "with_features", None)
        return (self.network(inputs),) if seen is None else seen(inputs)


def _at_size(size: torch.Size, forward: Forward, otherwise: Forward) -> Forward:
    return lambda inputs: forward(inputs) if inputs.shape[1:] == size else otherwise(inputs)


def accelerate(network: nn.Module, example_input: Tensor, backend: str = "auto") -> Accelerated:
    """An `Accelerated` network whose backend is decided, and checked, with an example `(batch, channel, *spatial)`.

    It lies on the network's device and is what the network will see, noise at worst.

    Raises:
        CrossDError: see `Accelerated`; also when the network's answer to the example is not finite.

    >>> network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    >>> accelerate(network, torch.randn(2, 1, 8, 8, 8)).chosen
    'torchscript'
    """
    accelerated = Accelerated(network, backend)
    accelerated(example_input)
    if accelerated.chosen is None:
        raise CrossDError(
            "a backend is compared with the network on an example it answers with finite logits, got NaN or infinity: "
            "check the weights and the example's intensities, and pass it without autocast"
        )
    return accelerated


def _prepare(network: nn.Module, inputs: Tensor, expected: Tensor) -> tuple[Forward, tuple[Tensor, ...]]:
    """TorchScript's forward pass and what it makes of `inputs`, whose logits have to be those expected."""
    try:
        forward: Forward = torchscript(network, inputs)
        outputs = forward(inputs)
    except Exception as error:  # whatever a tracer cannot do
        lines = str(error).strip().splitlines() or [""]
        raise CrossDError(
            f"backend 'torchscript' must be able to run the network, got {type(error).__name__}: {lines[0][:200]}: "
            "use backend 'eager'"
        ) from error
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    logits = outputs[0]
    difference = float((logits - expected).abs().max()) if logits.shape == expected.shape else float("inf")
    if not difference <= limit:  # NaN included
        raise CrossDError(
            f"backend 'torchscript' must agree with the network to {limit:.1e} on the first batch, got a difference of "
            f"{difference:.1e}: use backend 'eager'"
        )
    logger.info(f"backend torchscript: at most {difference:.1e} from eager on the first batch")
    return forward, outputs


def torchscript(network: nn.Module, example: Tensor) -> Callable[[Tensor], Any]:
    """Traced and frozen; on a CPU oneDNN keeps its own layout from the first convolution to the pooling."""
    plain = fuse_batch_norm(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and has no successor that needs no compiler
        traced = torch.jit.trace(plain, example, check_trace=False)
        optimised = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    return optimised.__call__


def fuse_batch_norm(network: nn.Module) -> nn.Module:
    r"""A copy, in evaluation mode, in which each batch norm after a convolution or linear layer is part of that layer.

    $\gamma \frac{w * x + b - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = w' * x + b'$ with
    $w' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} w$ and the matching $b'$: the same up to rounding.

    Args:
        network: with operations that do not depend on values or sizes of its input; or one that `joins` such ones.

    >>> block = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.ReLU()).eval()
    >>> [type(module).__name__ for module in fuse_batch_norm(block).children()]
    ['Conv3d', 'ReLU']
    """
    from torch.fx.experimental.optimization import fuse

    joined = [
        f"{name}.{part}".lstrip(".") for name, one in network.named_modules() for part in getattr(one, "joins", ())
    ]
    if not joined:
        return fuse(network)  # type: ignore[no-any-return]
    fused = copy.deepcopy(network)
    for name in joined:
        fused.set_submodule(name, fuse(network.get_submodule(name)))
    return fused

"""Run a trained network by a faster runtime, once that has been seen to compute the same."""

from __future__ import annotations

import copy
import logging

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from crossd.conv import CrossDConv, fold
from crossd.errors import CrossDError, one_of
from crossd.inference.runtimes import CPU_ONLY, RUNTIMES, Forward, check_installed

BACKENDS = ("auto", *RUNTIMES)
TOLERANCE = 1e-4

logger = logging.getLogger(__name__)


class Accelerated(nn.Module):
    """A trained network that a faster runtime computes from the first batch on.

    The first batch is computed twice, by the network in PyTorch ("eager") and by the runtime. Where their logits differ
    by more than `1e-4 · max(1, largest logit)`, a runtime asked for by name is refused, and "auto" stays eager and says
    so in the log. What is chosen depends on the network, the device and the first batch, never on a clock.

    - `auto`: on a CPU `onednn` (`torchscript` where PyTorch has no oneDNN); on other devices, for other numbers than
      float32, and where kernels depend on the input, `eager`.
    - `eager`: the network with fixed kernels (`crossd.conv.fold`), otherwise as it is.
    - `fused`: batch norm multiplied into the convolutions.
    - `channels_last`: `fused` with channels last in memory.
    - `onednn`: `channels_last` with ReLU and residual sum inside oneDNN's convolutions; on a CPU.
    - `torchscript`: `fused`, traced, frozen and optimised for the machine.
    - `compile`: `fused` through `torch.compile`; it needs a C++ compiler and compiles for some seconds.
    - `onnxruntime`, `openvino`: on the CPU, in float32; packages that `crossd[accelerate]` installs.

    Under `torch.autocast` the network runs eager. Any batch size and window size can follow the first. The parameters
    are those of the folded copy of the network; later changes of them, or `to(device)`, do not reach a runtime.

    Args:
        network: maps `(batch, channel, *spatial)` to logits `(batch, classes)`. It is not changed: a copy of it with
            fixed kernels runs, in evaluation mode.
        backend: one of `BACKENDS`.

    Attributes:
        chosen: the name of what runs; None before the first batch.
        refusal: why the backend asked for by name cannot be used, once the first batch has shown it; None before.

    Raises:
        CrossDError: for an unknown backend, one whose package is missing, or one by name for a network whose kernels
            depend on the input; in the first batch, for one that cannot run the network or computes something else.

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
        dynamic = any(layer.alignment == "dynamic" and layer.predictor is not None for layer in layers)
        if dynamic and backend not in ("auto", "eager"):
            raise CrossDError(
                f"a backend needs kernels that do not depend on the input, got backend {backend!r} for a network with "
                "alignment 'dynamic': use backend 'eager', or crossd.set_alignment(network, 'running') first"
            )
        check_installed(backend)
        self.network = copy.deepcopy(network) if dynamic else fold(network)
        self._auto = "eager" if dynamic else _fastest()
        self.eval()

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits `(batch, classes)` of `(batch, channel, *spatial)`."""
        inputs = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        if torch.is_autocast_enabled(inputs.device.type):
            return self.network(inputs)
        if self.refusal is not None:
            raise CrossDError(self.refusal)
        return self._first(inputs) if self._forward is None else self._forward(inputs)

    @torch.no_grad()
    def _first(self, inputs: Tensor) -> Tensor:
        expected = self.network(inputs)
        if not expected.isfinite().all():
            return expected  # nothing to compare with: the next batch decides
        on_cpu = inputs.device.type == "cpu" and inputs.dtype == torch.float32
        name = self.backend if self.backend != "auto" else self._auto if on_cpu else "eager"
        try:
            forward, outputs = _prepare(name, self.network, inputs, expected)
        except CrossDError as error:
            if self.backend != "auto":
                self.refusal = str(error)
                raise
            logger.warning(f"{error}; it runs eager")
            name = "eager"
            forward, outputs = _prepare(name, self.network, inputs, expected)
        self.chosen, self._forward = name, forward
        return outputs


def accelerate(network: nn.Module, example_input: Tensor, backend: str = "auto") -> Accelerated:
    """An `Accelerated` network whose backend is decided, and checked, with an example.

    Args:
        network, backend: see `Accelerated`.
        example_input: `(batch, channel, *spatial)`, on the network's device; what the network will see, noise at worst.

    Raises:
        CrossDError: see `Accelerated`; also when the network's answer to the example is not finite.

    >>> network = nn.Sequential(nn.Conv3d(1, 2, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    >>> accelerate(network, torch.randn(2, 1, 8, 8, 8), "channels_last").chosen
    'channels_last'
    """
    accelerated = Accelerated(network, backend)
    accelerated(example_input)
    if accelerated.chosen is None:
        raise CrossDError(
            "a backend is compared with the network on an example it answers with finite logits, got NaN or infinity: "
            "check the weights and the example's intensities, and pass it without autocast"
        )
    return accelerated


def _fastest() -> str:
    """Of those on a CPU that need nothing beyond PyTorch, as measured in docs/performance.md; no clock decides here."""
    return "onednn" if torch.backends.mkldnn.is_available() else "torchscript"


def _prepare(name: str, network: nn.Module, inputs: Tensor, expected: Tensor) -> tuple[Forward, Tensor]:
    """The forward pass of a runtime and what it makes of `inputs`, which has to be what is expected."""
    if name == "eager":
        return RUNTIMES[name](network, inputs), expected
    if name in CPU_ONLY and inputs.device.type != "cpu":
        raise CrossDError(f"backend {name!r} runs on the CPU, got a volume on {inputs.device}: use 'auto' or 'eager'")
    try:
        forward = RUNTIMES[name](network, inputs)
        outputs = forward(inputs)
    except Exception as error:  # whatever a tracer, exporter or compiler cannot do
        lines = str(error).strip().splitlines() or [""]
        raise CrossDError(
            f"backend {name!r} must be able to run the network, got {type(error).__name__}: {lines[0][:200]}: "
            "use backend 'eager'"
        ) from error
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    difference = float((outputs - expected).abs().max()) if outputs.shape == expected.shape else float("inf")
    if not difference <= limit:  # NaN included
        raise CrossDError(
            f"backend {name!r} must agree with the network to {limit:.1e} on the first batch, got a difference of "
            f"{difference:.1e}: use backend 'eager'"
        )
    logger.info(f"backend {name}: at most {difference:.1e} from eager on the first batch")
    return forward, outputs

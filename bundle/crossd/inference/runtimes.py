"""What can run a plain network: each function prepares one runtime for it and returns the forward pass."""

from __future__ import annotations

import importlib
import importlib.util
import io
import sys
import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from crossd.errors import CrossDError
from crossd.inference.onednn import fuse_convolutions

Forward = Callable[[Tensor], Tensor]

PACKAGES = {"onnxruntime": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino")}
CPU_ONLY = ("onednn", "onnxruntime", "openvino")


def check_installed(backend: str) -> None:
    """Say which optional package a backend lacks.

    Raises:
        CrossDError: naming the package and how to install it.
    """
    missing = [package for package in PACKAGES.get(backend, ()) if importlib.util.find_spec(package) is None]
    if missing:
        raise CrossDError(
            f"backend {backend!r} needs packages that crossd does not install by itself, got no "
            f"{' and no '.join(missing)}: `pip install 'crossd[accelerate]'`, or use backend 'auto'"
        )


def eager(network: nn.Module, example: Tensor) -> Forward:
    """The network itself."""
    return network.__call__


def fused(network: nn.Module, example: Tensor) -> Forward:
    """PyTorch, each batch norm multiplied into the convolution before it."""
    return fuse_batch_norm(network).__call__


def channels_last(network: nn.Module, example: Tensor) -> Forward:
    """`fused`, with the channels of a voxel next to each other in memory."""
    memory_format = torch.channels_last_3d if example.ndim == 5 else torch.channels_last
    plain = fuse_batch_norm(network).to(memory_format=memory_format)  # type: ignore[call-overload]
    return lambda inputs: plain(inputs.contiguous(memory_format=memory_format))


def onednn(network: nn.Module, example: Tensor) -> Forward:
    """`channels_last`, with each ReLU and residual sum inside the oneDNN convolution before it, on a CPU."""
    memory_format = torch.channels_last_3d if example.ndim == 5 else torch.channels_last
    program = fuse_convolutions(fuse_batch_norm(network), example)
    return lambda inputs: program(inputs.contiguous(memory_format=memory_format))


def torchscript(network: nn.Module, example: Tensor) -> Forward:
    """`fused`, traced and frozen; on a CPU oneDNN keeps its own layout from the first convolution to the pooling."""
    plain = fuse_batch_norm(network)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated, and has no successor that needs no compiler
        traced = torch.jit.trace(plain, example, check_trace=False)
        optimised = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    return optimised.__call__


def compiled(network: nn.Module, example: Tensor) -> Forward:
    """`fused`, through `torch.compile` with the weights frozen. It needs a C++ compiler, and some seconds.

    Batches smaller than the example are filled up with zeros, since each size would be compiled by itself.
    """
    from torch._inductor import config

    program = torch.compile(fuse_batch_norm(network), dynamic=False)
    size = len(example)

    def forward(inputs: Tensor) -> Tensor:
        lacking = max(size - len(inputs), 0)
        filled = F.pad(inputs, (0, 0) * (inputs.ndim - 1) + (0, lacking)) if lacking else inputs
        with torch.no_grad(), config.patch(freezing=True):
            return program(filled)[: len(inputs)]

    return forward


def onnxruntime(network: nn.Module, example: Tensor) -> Forward:
    """ONNX Runtime on the CPU, with as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(onnx(network, example), options, providers=["CPUExecutionProvider"])

    def forward(inputs: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"volume": inputs.contiguous().numpy()})[0])

    return forward


def openvino(network: nn.Module, example: Tensor) -> Forward:
    """OpenVINO on the CPU with as many threads as PyTorch has, in float32: by itself it takes bfloat16 where it can."""
    openvino = import_openvino()
    core = openvino.Core()
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    model = core.compile_model(core.read_model(onnx(network, example)), "CPU", options)

    def forward(inputs: Tensor) -> Tensor:
        return torch.from_numpy(model({0: inputs.contiguous().numpy()})[0].copy())  # its buffer is used again

    return forward


RUNTIMES: dict[str, Callable[[nn.Module, Tensor], Forward]] = {
    "eager": eager,
    "fused": fused,
    "channels_last": channels_last,
    "onednn": onednn,
    "torchscript": torchscript,
    "compile": compiled,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
}


def fuse_batch_norm(network: nn.Module) -> fx.GraphModule:
    r"""A copy in which each batch norm after a convolution or linear layer is part of that layer.

    $\gamma \frac{w * x + b - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = w' * x + b'$ with
    $w' = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}} w$ and the matching $b'$: the same up to rounding.

    Args:
        network: in evaluation mode, with operations that do not depend on values or sizes of its input.

    >>> block = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.ReLU()).eval()
    >>> [type(module).__name__ for module in fuse_batch_norm(block).children()]
    ['Conv3d', 'ReLU']
    """
    from torch.fx.experimental.optimization import fuse

    return cast(fx.GraphModule, fuse(network))


def onnx(network: nn.Module, example: Tensor) -> bytes:
    """The network as an ONNX model with input `volume` `(batch, channel, *spatial)`, all but channels of any size."""
    content = io.BytesIO()
    sizes = {0: "batch", **{axis: f"size_{axis}" for axis in range(2, example.ndim)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that replaces this one takes five seconds, and more packages
        torch.onnx.export(
            fuse_batch_norm(network),
            (example,),
            content,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["volume"],
            output_names=["logits"],
            dynamic_axes={"volume": sizes, "logits": {0: "batch"}},
        )
    return content.getvalue()


def import_openvino() -> Any:
    """Import it without `openvino_telemetry`, by which it tells its maker that, and from where, it was imported."""
    known = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module("openvino")
    finally:
        if known is None:
            del sys.modules["openvino_telemetry"]
        else:
            sys.modules["openvino_telemetry"] = known

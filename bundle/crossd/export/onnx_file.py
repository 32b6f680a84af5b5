"""ONNX: one file, any batch and volume size, with the card among its properties."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from crossd.export.trained import Trained
from crossd.export.verification import Forward, examples
from crossd.inference.backends import fuse_batch_norm
from crossd.version import __version__

INPUT, OUTPUT = "volume", "logits"


def write_onnx(trained: Trained, path: Path) -> None:
    """Write the network with input `volume` `(batch, channel, depth, height, width)` and output `logits`.

    Batch norm is part of the convolutions. `metadata_props` hold `card`, as JSON, and `crossd_version`.
    """
    import onnx as package

    model = package.load_from_string(_exported(trained.network, examples(trained.card["input"])[1]))
    package.helper.set_model_props(model, {"card": json.dumps(trained.card), "crossd_version": __version__})
    package.checker.check_model(model, full_check=True)
    package.save(model, str(path))


def run_onnx(path: Path) -> Forward:
    """The forward pass of the file in ONNX Runtime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda volume: torch.from_numpy(session.run([OUTPUT], {INPUT: volume.numpy()})[0])


def _exported(network: nn.Module, example: Tensor) -> bytes:
    """The network as an ONNX model; all of its input but the channels may have any size."""
    content = io.BytesIO()
    sizes = {0: "batch", **{axis: f"size_{axis}" for axis in range(2, example.ndim)}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that replaces this one takes five seconds, and more packages
        torch.onnx.export(
            fuse_batch_norm(network),
            (example,),
            content,  # type: ignore[arg-type]
            dynamo=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: sizes, OUTPUT: {0: "batch"}},
        )
    return content.getvalue()

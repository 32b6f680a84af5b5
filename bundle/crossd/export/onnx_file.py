"""ONNX: one file, any batch and volume size, with the card among its properties."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from crossd.export.trained import Trained
from crossd.export.verification import Forward, examples
from crossd.inference.runtimes import onnx
from crossd.version import __version__

INPUT, OUTPUT = "volume", "logits"


def write_onnx(trained: Trained, path: Path) -> None:
    """Write the network with input `volume` `(batch, channel, depth, height, width)` and output `logits`.

    Batch norm is part of the convolutions. `metadata_props` hold `card`, as JSON, and `crossd_version`.
    """
    import onnx as package

    model = package.load_from_string(onnx(trained.network, examples(trained.card["input"])[1]))
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

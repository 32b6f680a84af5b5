"""ONNX, one file for any batch size with the card in it, and OpenVINO's files, which are made of it."""

from __future__ import annotations

import importlib
import io
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossd.export.trained import Forward, Trained
from crossd.inference.backends import fuse_batch_norm
from crossd.version import __version__

INPUT, OUTPUT = "volume", "logits"


def write_onnx(trained: Trained, path: Path) -> None:
    """Write the network with input `volume` `(batch, channel, depth, height, width)` and output `logits`.

    Batch norm is part of the convolutions. `metadata_props` hold `card`, as JSON, and `crossd_version`.
    """
    import onnx as package

    model = package.load_from_string(_exported(trained.network, trained.examples[1], trained.one_size))
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


def _exported(network: nn.Module, example: Tensor, one_size: bool) -> bytes:
    """The network as an ONNX model; the batch may have any size, and the volumes, unless they have one."""
    content = io.BytesIO()
    sizes = {0: "batch"} | ({} if one_size else {axis: f"size_{axis}" for axis in range(2, example.ndim)})
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


def write_openvino(trained: Trained, path: Path) -> None:
    """Write `path`, an `.xml`, and the `.bin` beside it, by way of ONNX; the card is in `rt_info`, under `crossd`."""
    openvino = import_openvino()
    with tempfile.TemporaryDirectory() as folder:
        write_onnx(trained, Path(folder) / "model.onnx")
        model = openvino.Core().read_model(Path(folder) / "model.onnx")
        model.set_rt_info(json.dumps(trained.card), ["crossd", "card"])
        model.set_rt_info(__version__, ["crossd", "version"])
        openvino.save_model(model, path, compress_to_fp16=False)


def run_openvino(path: Path) -> Forward:
    """The forward pass of the files on the CPU; asked for float32, as OpenVINO takes bfloat16 where it can."""
    core = import_openvino().Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    model = core.compile_model(core.read_model(path), "CPU", options)
    return lambda volume: torch.from_numpy(model({0: volume.numpy()})[0].copy())  # its buffer is used again


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

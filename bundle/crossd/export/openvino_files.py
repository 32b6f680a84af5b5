"""OpenVINO's intermediate representation: an `.xml` with the network and a `.bin` with its weights, in float32."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from crossd.export.onnx_file import write_onnx
from crossd.export.trained import Trained
from crossd.export.verification import Forward
from crossd.version import __version__


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

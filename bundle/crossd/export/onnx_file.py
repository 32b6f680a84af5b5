"""ONNX, one file for any batch size with the card in it; and of it OpenVINO's files and Triton's repository."""

from __future__ import annotations

import importlib
import io
import json
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from crossd.errors import CrossDError
from crossd.export.trained import Forward, Trained
from crossd.inference.backends import fuse_batch_norm
from crossd.version import __version__

INPUT, OUTPUT = "volume", "logits"
LARGEST_BATCH = 8  # windows that Triton puts into one pass, its own queue included


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


def config_pbtxt(card: dict[str, Any], name: str, one_size: bool = False) -> str:
    """Triton's `config.pbtxt` for the ONNX file of a card's network.

    Triton adds the batch axis to the `dims`; -1 is any size.

    Args:
        card: of the checkpoint.
        name: of the model, which is that of its folder.
        one_size: whether it takes volumes of the window's size only.

    Raises:
        CrossDError: for a name that is no plain folder name.

    >>> card = {"class_names": ["healthy", "ill"], "input": {"channels": ["t1", "t2"], "roi_size": [64, 64, 32]}}
    >>> print(config_pbtxt(card, "heads"))  # doctest: +ELLIPSIS
    # A window has 64×64×32 voxels (depth, height, width), channels t1, t2; logits are of healthy, ill.
    name: "heads"
    backend: "onnxruntime"
    max_batch_size: 8
    input [
      { name: "volume" data_type: TYPE_FP32 dims: [ 2, -1, -1, -1 ] }
    ]
    output [
      { name: "logits" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" }
    ]
    dynamic_batching { }
    parameters { key: "card" value: { string_value: "{..." } }
    <BLANKLINE>
    """
    check_name(name)
    channels, classes = card["input"]["channels"], card["class_names"]
    roi_size = card["input"]["roi_size"]
    window = "any number of" if roi_size is None else "×".join(map(str, roi_size))
    said = f"A window has {window} voxels (depth, height, width), channels {', '.join(channels)}; logits are of "
    size = ", ".join(map(str, roi_size)) if one_size else "-1, -1, -1"
    return f"""# {_line(said + ", ".join(classes))}.
name: "{name}"
backend: "onnxruntime"
max_batch_size: {LARGEST_BATCH}
input [
  {{ name: "{INPUT}" data_type: TYPE_FP32 dims: [ {len(channels)}, {size} ] }}
]
output [
  {{ name: "{OUTPUT}" data_type: TYPE_FP32 dims: [ {len(classes)} ] label_filename: "labels.txt" }}
]
dynamic_batching {{ }}
parameters {{ key: "card" value: {{ string_value: {json.dumps(json.dumps(card))} }} }}
"""


def check_name(name: str) -> str:
    """The name, where it is one of a folder, which it becomes; any other is refused."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise CrossDError(
            f"Triton's models are called by letters, digits and `_ . -`, got {name!r}. Choose such a name."
        )
    return name


def write_triton(trained: Trained, folder: Path) -> None:
    """Write `folder/{config.pbtxt, labels.txt, 1/model.onnx}`; the model's name is the folder's."""
    version = folder / "1"
    version.mkdir(parents=True)
    (folder / "config.pbtxt").write_text(config_pbtxt(trained.card, folder.name, trained.one_size), encoding="utf-8")
    labels = "".join(f"{_line(name)}\n" for name in trained.card["class_names"])
    (folder / "labels.txt").write_text(labels, encoding="utf-8")
    write_onnx(trained, version / "model.onnx")


def _line(text: str) -> str:
    return " ".join(text.split())

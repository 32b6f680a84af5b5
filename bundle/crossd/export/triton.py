"""A model repository for NVIDIA's Triton Inference Server: the ONNX file and the configuration that fits it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError
from crossd.export.onnx_file import INPUT, OUTPUT, write_onnx
from crossd.export.trained import Trained

LARGEST_BATCH = 8  # windows that Triton puts into one pass, its own queue included


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

"""Triton's configuration says what the ONNX file is, which ONNX Runtime tells."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from crossd.checkpoints import read_card
from crossd.errors import CrossDError
from crossd.export import config_pbtxt, export_network

from .made import ROOT

TENSOR = re.compile(r'\{ name: "(\w+)" data_type: TYPE_(\w+) dims: \[ ([-\d, ]+) \]')
TYPES = {"tensor(float)": "FP32"}


@pytest.fixture(scope="module")
def repository(checkpoint, tmp_path_factory):
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package, reason=f"an ONNX file needs {package}: pip install 'crossd[export]'")
    folder = tmp_path_factory.mktemp("triton")
    export_network(checkpoint, "triton", folder, name="heads", bundle=ROOT)
    return folder


def tensors(text):
    """Section → (name, type, dims) of a pbtxt."""
    sections = re.split(r"^(input|output) \[$", text, flags=re.M)
    return {
        name: [(n, t, [int(d) for d in dims.split(",")]) for n, t, dims in TENSOR.findall(part.split("\n]")[0])]
        for name, part in zip(sections[1::2], sections[2::2], strict=True)
    }


def test_inputs_and_outputs_are_those_of_the_file(repository):
    import onnxruntime

    said = tensors((repository / "heads" / "config.pbtxt").read_text())
    session = onnxruntime.InferenceSession(
        repository / "heads" / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    for section, found in (("input", session.get_inputs()), ("output", session.get_outputs())):
        assert [(node.name, TYPES[node.type]) for node in found] == [entry[:2] for entry in said[section]]
        for node, (_, _, dims) in zip(found, said[section], strict=True):
            batch, *sizes = node.shape  # a text is the name of an axis of any size
            assert isinstance(batch, str)
            assert [-1 if isinstance(size, str) else size for size in sizes] == dims
    assert said["input"][0][2] == [2, -1, -1, -1]
    assert said["output"][0][2] == [3]


def test_the_folder_is_a_model_repository(repository, checkpoint):
    assert sorted(str(path.relative_to(repository)) for path in repository.rglob("*")) == [
        "heads",
        "heads/1",
        "heads/1/model.onnx",
        "heads/config.pbtxt",
        "heads/labels.txt",
    ]
    assert (repository / "heads" / "labels.txt").read_text().splitlines() == read_card(checkpoint)["class_names"]
    assert '\nname: "heads"\n' in (repository / "heads" / "config.pbtxt").read_text()


PARSE = """
import sys
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

config = text_format.Parse(open(sys.argv[1]).read(), ModelConfig())
print(config.name, config.backend, config.max_batch_size, list(config.input[0].dims), config.output[0].label_filename)
print(config.parameters["card"].string_value)
"""


def test_the_server_would_read_it(repository, checkpoint):
    """By Triton's own description of the format; its client wants other packages than ours, so it has its own place."""
    python = ROOT / ".venv-clients" / "deploy" / "bin" / "python"
    if not python.exists():
        pytest.skip("tritonclient is in the environments that `make test-clients` makes")
    arguments = [python, "-c", PARSE, repository / "heads" / "config.pbtxt"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    said, card = done.stdout.splitlines()
    assert said == "heads onnxruntime 8 [2, -1, -1, -1] labels.txt"
    assert json.loads(card) == read_card(checkpoint)


def test_texts_of_a_card_stay_texts(checkpoint):
    card = read_card(checkpoint)
    card["class_names"] = ['a" } # b', "two\nlines", "c"]
    lines = config_pbtxt(card, "x").splitlines()
    assert lines[0].startswith("# ")
    assert lines[1] == 'name: "x"'
    assert sum("two lines" in line for line in lines) == 1
    assert tensors("\n".join(lines))["output"] == [("logits", "FP32", [3])]


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", 'a"', ".hidden"])
def test_names_that_are_no_folder_names(checkpoint, name, tmp_path):
    with pytest.raises(CrossDError, match=rf"called by letters, digits .* got {name!r}\. Choose such a name"):
        config_pbtxt(read_card(checkpoint), name)
    with pytest.raises(CrossDError, match="called by letters, digits"):
        export_network(checkpoint, "triton", tmp_path / "out", name=name, bundle=ROOT)
    assert list(tmp_path.iterdir()) == []

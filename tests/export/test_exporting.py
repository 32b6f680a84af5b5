"""An export computes what the network computes, at any size, or nothing is written."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from crossd.checkpoints import load_pretrained, read_card, save_checkpoint
from crossd.errors import CrossDError
from crossd.export import FORMATS, Trained, export_network, exporting
from crossd.inference import network_from_card

from .made import ROOT, make_checkpoint

SIZES = [(1, 2, 24, 32, 16), (5, 2, 17, 21, 33), (2, 2, 40, 8, 25)]  # the first is the window; no other is one compared


def missing(to: str) -> list[str]:
    return [package for package in FORMATS[to].packages if importlib.util.find_spec(package) is None]


@pytest.fixture(scope="module", params=FORMATS)
def exported(request, checkpoint, tmp_path_factory):
    if missing(request.param):
        pytest.skip(f"{request.param} needs {', '.join(missing(request.param))}: pip install 'crossd[export]'")
    folder = tmp_path_factory.mktemp(request.param) / "made"
    return request.param, folder, export_network(checkpoint, request.param, folder, bundle=ROOT)


def answer(checkpoint: Path, volumes: torch.Tensor) -> torch.Tensor:
    network = network_from_card(read_card(checkpoint))
    load_pretrained(network, str(checkpoint), strict_head=True)
    with torch.no_grad():
        return network.eval()(volumes)


def test_it_gives_the_networks_logits_at_any_size(exported, checkpoint):
    to, folder, _ = exported
    run = FORMATS[to].run(folder / FORMATS[to].path)
    for size in SIZES:
        volumes = torch.randn(size)
        expected = answer(checkpoint, volumes)
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(run(volumes), expected, atol=1e-4, rtol=0)


def test_it_says_what_it_wrote_and_compared(exported):
    to, folder, export = exported
    expected = {
        "torchscript": ["model.ts"],
        "onnx": ["model.onnx"],
        "openvino": ["model.xml", "model.bin"],
        "triton": ["crossd_classifier/1/model.onnx", "crossd_classifier/config.pbtxt", "crossd_classifier/labels.txt"],
    }
    assert [str(path.relative_to(folder)) for path in export.files] == expected[to]
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == sorted(export.files)
    assert [shape for shape, _ in export.differences] == [(1, 2, 24, 32, 16), (2, 2, 18, 16, 12), (3, 2, 15, 35, 9)]
    assert all(difference <= 1e-4 for _, difference in export.differences)


def test_the_card_travels_with_it(exported, checkpoint):
    to, folder, _ = exported
    if to == "onnx":
        import onnx

        properties = {entry.key: entry.value for entry in onnx.load(folder / "model.onnx").metadata_props}
        assert json.loads(properties["card"]) == read_card(checkpoint)
    elif to == "openvino":
        from crossd.export.onnx_file import import_openvino

        model = import_openvino().Core().read_model(folder / "model.xml")
        assert json.loads(model.get_rt_info(["crossd", "card"]).astype(str)) == read_card(checkpoint)
    elif to == "triton":
        line = next(
            line for line in (folder / "crossd_classifier/config.pbtxt").read_text().splitlines() if "key" in line
        )
        assert json.loads(json.loads(line.split("string_value: ")[1].removesuffix(" } }"))) == read_card(checkpoint)
    else:
        from monai.data import load_net_with_metadata

        assert load_net_with_metadata(str(folder / "model.ts"))[1]["card"] == read_card(checkpoint)


def replace_write(monkeypatch, to, change):
    """Let the format write the network after `change` has had it."""
    former = FORMATS[to]

    def write(trained: Trained, path: Path) -> None:
        with torch.no_grad():
            change(trained.network)
        former.write(trained, path)

    monkeypatch.setitem(exporting.FORMATS, to, dataclasses.replace(former, write=write))


@pytest.mark.parametrize("to", FORMATS)
def test_what_differs_is_not_written(to, checkpoint, tmp_path, monkeypatch):
    if missing(to):
        pytest.skip(f"{to} needs {', '.join(missing(to))}: pip install 'crossd[export]'")
    replace_write(monkeypatch, to, lambda network: network.fc.bias.add_(2e-4))
    message = rf"gives the network's logits to 1e-04; the {to} export is off by 2\.0e-04 for 1×2×24×32×16\. Nothing was"
    with pytest.raises(CrossDError, match=message):
        export_network(checkpoint, to, tmp_path, bundle=ROOT)
    assert list(tmp_path.rglob("*")) == []


def test_a_failed_export_leaves_the_former_one(checkpoint, tmp_path, monkeypatch):
    (before,) = export_network(checkpoint, "torchscript", tmp_path, bundle=ROOT).files
    content = before.read_bytes()
    with monkeypatch.context() as patch:
        replace_write(patch, "torchscript", lambda network: network.conv1.weight.mul_(1.01))
        with pytest.raises(CrossDError, match="the torchscript export is off by"):
            export_network(checkpoint, "torchscript", tmp_path, bundle=ROOT)
    assert [path.name for path in tmp_path.iterdir()] == ["model.ts"]
    assert before.read_bytes() == content


@pytest.mark.parametrize(("to", "name"), [("triton", "docs"), ("torchscript", "model.ts")])
def test_a_folder_of_something_else_stays(checkpoint, tmp_path, to, name):
    if missing(to):
        pytest.skip(f"{to} needs {', '.join(missing(to))}: pip install 'crossd[export]'")
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").touch()
    with pytest.raises(CrossDError, match=rf"replaces an earlier one only; .*{name} is a folder that holds something"):
        export_network(checkpoint, to, tmp_path, name="docs", bundle=ROOT)
    assert [path.name for path in tmp_path.rglob("*")] == [name, "thesis.txt"]


def test_a_runtime_that_fails_at_some_size(checkpoint, tmp_path, monkeypatch):
    def run(path):
        forward = FORMATS["torchscript"].run(path)

        def one_size_only(volume):
            if len(volume) != 1:
                raise RuntimeError("expected batch 1\nat line 3")
            return forward(volume)

        return one_size_only

    once = dataclasses.replace(FORMATS["torchscript"], run=run)
    monkeypatch.setitem(exporting.FORMATS, "once", once)
    with pytest.raises(CrossDError, match=r"takes any batch and volume size; the once export fails for 2×2×18×16×12: "):
        export_network(checkpoint, "once", tmp_path, bundle=ROOT)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_number(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    content["model"]["fc.bias"][1] = float("nan")
    save_checkpoint(tmp_path / "nan.pt", content["model"], card=content["card"])
    with pytest.raises(CrossDError, match=r"Weights are finite numbers; .*nan\.pt: fc\.bias holds NaN"):
        export_network(tmp_path / "nan.pt", "torchscript", tmp_path / "out", bundle=ROOT)
    assert not (tmp_path / "out").exists()


def test_a_plain_network(tmp_path):
    """What is not built of Cross-D convolutions is exported as it is."""
    plain = make_checkpoint(tmp_path / "plain.pt", conv="plain")
    (file,) = export_network(plain, "torchscript", tmp_path, bundle=ROOT).files
    volumes = torch.randn(SIZES[1])
    torch.testing.assert_close(FORMATS["torchscript"].run(file)(volumes), answer(plain, volumes), atol=1e-4, rtol=0)


def test_what_cannot_be_exported(checkpoint, tmp_path, monkeypatch):
    with pytest.raises(CrossDError, match=r"`to` must be one of 'torchscript', .*; got 'onx'\. Did you mean 'onnx'"):
        export_network(checkpoint, "onx", tmp_path, bundle=ROOT)
    images = make_checkpoint(tmp_path / "images.pt", spatial_dims=2)
    with pytest.raises(CrossDError, match=r"spatial_dims 3; the card of .*images\.pt says 2\. Fine-tune it on volumes"):
        export_network(images, "torchscript", tmp_path / "out", bundle=ROOT)
    card = read_card(checkpoint) | {"task": "segmentation", "label_values": [0, 1, 2]}
    card["network"] = {"in_channels": 2, "out_channels": 3}
    save_checkpoint(tmp_path / "masks.pt", torch.nn.Linear(1, 1), card=card)
    with pytest.raises(
        CrossDError,
        match=r"task multiclass or multilabel or regression or ordinal; the card of .*masks\.pt says segmentation",
    ):
        export_network(tmp_path / "masks.pt", "onnx", tmp_path / "out", bundle=ROOT)
    dynamic = make_checkpoint(tmp_path / "dynamic.pt", alignment="dynamic")
    with pytest.raises(CrossDError, match="does not depend on the input can be folded"):
        export_network(dynamic, "torchscript", tmp_path / "out", bundle=ROOT)
    with pytest.raises(CrossDError, match=r"carries the bundle's configs; .*inference\.json cannot be read"):
        export_network(checkpoint, "torchscript", tmp_path / "out", bundle=tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(CrossDError, match=r"An export needs a folder that can be written; .*file cannot be: "):
        export_network(checkpoint, "torchscript", tmp_path / "file", bundle=ROOT)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CrossDError, match=r"needs packages .*, got no onnx and no openvino: pip install 'crossd\[expo"):
        export_network(checkpoint, "openvino", tmp_path / "out", bundle=ROOT)


def test_openvino_is_imported_without_its_telemetry() -> None:
    pytest.importorskip("openvino", reason="openvino needs openvino: pip install 'crossd[export]'")
    code = (
        "import sys; from crossd.export.onnx_file import import_openvino; import_openvino().Core(); "
        "print(sorted(name for name in sys.modules if name.startswith('openvino_telemetry')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"

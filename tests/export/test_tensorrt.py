"""The TensorRT overlay as far as a machine without a GPU can tell: what it resolves to, hands over and refuses."""

from __future__ import annotations

import re
from types import SimpleNamespace

import crossd.export.tensorrt as tensorrt
import pytest
import torch
from crossd.checkpoints import read_card
from crossd.data.nifti import write_nifti
from crossd.errors import CrossDError
from crossd.export import LoadTensorRT, Trained
from crossd.inference import network_from_card
from crossd.inference.case_dataset import reason
from monai.bundle import ConfigParser

from ..commands import bundle
from .made import ROOT, make_checkpoint

CONFIGS = [str(ROOT / "configs" / name) for name in ("inference.json", "inference_trt.json")]


@pytest.fixture
def parser(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parser = ConfigParser()
    parser.read_config(CONFIGS)
    parser.update({"weights": str(checkpoint), "output_dir": str(tmp_path / "out"), "bundle_root": str(ROOT)})
    return parser


def test_the_overlay_changes_what_loads_the_weights_only(parser):
    plain = ConfigParser()
    plain.read_config(CONFIGS[0])
    assert plain["load_weights"]["_target_"] == "crossd.inference.LoadWeights"
    assert parser["handlers"] == plain["handlers"]
    handler = parser.get_parsed_content("load_weights")
    assert parser.get_parsed_content("case_run").load is handler
    assert isinstance(handler, LoadTensorRT)
    assert handler.network is parser.get_parsed_content("network")
    assert (handler.sw_batch_size, handler.precision) == (4, "fp32")
    assert handler.plan.endswith("out/tensorrt/model")


def test_what_monai_is_asked_to_compile(parser, checkpoint, tmp_path, monkeypatch):
    asked = {}

    def compile_it(network, path, args):
        asked.update(network=network, path=path, args=args)
        return network

    monkeypatch.setattr(tensorrt, "check_tensorrt", lambda: None)
    monkeypatch.setattr(tensorrt, "trt_compile", compile_it)
    engine = SimpleNamespace(amp=False, network=None)
    parser.get_parsed_content("load_weights")(engine)
    assert engine.network is asked["network"]
    volume = torch.randn(2, 2, 16, 16, 16)
    expected = Trained.read(checkpoint, ROOT).original(volume)
    with torch.no_grad():
        torch.testing.assert_close(engine.network(volume), expected, atol=1e-5, rtol=0)
    assert {type(module).__name__ for module in engine.network.modules() if "Conv" in type(module).__name__} == {
        "Conv3d"
    }
    assert re.fullmatch(re.escape(str(tmp_path / "out" / "tensorrt" / "model")) + "-[0-9a-f]{12}-fp32-4", asked["path"])
    assert (tmp_path / "out" / "tensorrt").is_dir()
    assert asked["args"] == {
        "precision": "fp32",
        "dynamic_batchsize": [1, 4, 4],
        "timestamp": int(checkpoint.stat().st_mtime),
    }


def test_no_engine_is_taken_for_another(checkpoint, tmp_path, monkeypatch):
    """MONAI takes an engine that is newer than the checkpoint, whichever it was built from and however."""
    asked = []
    monkeypatch.setattr(tensorrt, "check_tensorrt", lambda: None)
    monkeypatch.setattr(tensorrt, "trt_compile", lambda network, path, args: asked.append(path))
    other = make_checkpoint(tmp_path / "other.pt", width=8)
    for weights, options in (
        (checkpoint, {}),
        (other, {}),
        (checkpoint, {"precision": "fp16"}),
        (checkpoint, {"sw_batch_size": 8}),
        (checkpoint, {}),
    ):
        network = network_from_card(read_card(weights))
        LoadTensorRT(str(weights), network, str(tmp_path / "plan"), **options)(SimpleNamespace(amp=False, network=None))
    assert asked[0] == asked[4]
    assert len(set(asked)) == 4


def test_a_run_goes_on_from_answers_of_the_same_runtime_only(parser):
    assert parser.get_parsed_content("case_run").journal.record.settings["backend"] == "tensorrt fp32"


def test_its_options(checkpoint, tmp_path, monkeypatch):
    network = network_from_card(read_card(checkpoint))
    with pytest.raises(CrossDError, match=r"`precision` must be one of 'fp32', .*; got 'int8'"):
        LoadTensorRT(str(checkpoint), network, "plan", precision="int8")
    monkeypatch.setattr(tensorrt, "check_tensorrt", lambda: None)
    with pytest.raises(CrossDError, match=r"has a precision of its own, got amp too: leave out --amp true"):
        LoadTensorRT(str(checkpoint), network, "plan")(SimpleNamespace(amp=True, network=network))
    (tmp_path / "file").touch()
    with pytest.raises(CrossDError, match=r"A TensorRT engine is kept in a file; .*file cannot be made"):
        LoadTensorRT(str(checkpoint), network, str(tmp_path / "file" / "x"))(
            SimpleNamespace(amp=False, network=network)
        )


@pytest.mark.skipif(torch.cuda.is_available(), reason="this is what a machine without a GPU says")
def test_a_run_without_a_gpu_says_so_in_one_line(tmp_path):
    weights = make_checkpoint(tmp_path / "model.pt", in_channels=2)
    for name in ("a", "b"):
        write_nifti(tmp_path / f"{name}.nii.gz", torch.rand(24, 24, 24).numpy())
    (tmp_path / "cases.csv").write_text("image_1,image_2\na.nii.gz,b.nii.gz\n")
    options = {"images": tmp_path / "cases.csv", "weights": weights, "output_dir": tmp_path / "out"}
    with pytest.raises(RuntimeError) as error:
        bundle(CONFIGS, cwd=tmp_path, **options)
    said = reason(error.value)
    assert said.startswith("TensorRT needs an NVIDIA GPU and the packages tensorrt, polygraphy, onnx; here is no GPU")
    assert said.endswith("or leave out configs/inference_trt.json.")
    assert "\n" not in said

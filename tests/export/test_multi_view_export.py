"""An export of `MultiView`: the network's logits for any batch of volumes of its window's size."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from crossd.checkpoints import load_pretrained, read_card, save_checkpoint
from crossd.errors import CrossDError
from crossd.export import FORMATS, Trained, config_pbtxt, export_network
from crossd.inference import Accelerated, network_from_card

from .made import ROOT, make_checkpoint

RESNET = {"name": "CrossDResNet", "depth": 10, "width": 4}
NETWORKS = {
    "axes": {"backbone": RESNET, "image_size": 24, "volume_size": 33, "channels": "differences"},
    "diagonals": {"backbone": RESNET, "image_size": None, "volume_size": 33, "directions": "diagonals"},
    "lite0": {"backbone": {"name": "CrossDEfficientNetLite"}, "image_size": 32, "views": ["projections", "volume"]},
}
SLOW = [pytest.param("lite0", marks=pytest.mark.slow)]  # hundreds of layers


@pytest.fixture(scope="module", params=["axes", "diagonals", *SLOW])
def checkpoint(request, tmp_path_factory):
    pooling = "mean" if request.param == "lite0" else "attention"
    options = {
        "name": "MultiView",
        "pooling": pooling,
        "spacing": [1, 1, 1.5],
        "background": -1,
        **NETWORKS[request.param],
    }
    return make_checkpoint(tmp_path_factory.mktemp("trained") / "m.pt", **options)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["torchscript", "onnx"])
def test_it_gives_the_networks_logits_for_any_batch_of_windows(checkpoint, to, tmp_path):
    if not all(map(importlib.util.find_spec, FORMATS[to].packages)):
        pytest.skip(f"{to} needs {', '.join(FORMATS[to].packages)}: pip install 'crossd[export]'")
    export = export_network(checkpoint, to, tmp_path, bundle=ROOT)
    assert [shape for shape, _ in export.differences] == [(batch, 2, 24, 32, 16) for batch in (1, 2, 3)]
    network = network_from_card(read_card(checkpoint))
    load_pretrained(network, str(checkpoint), strict_head=True)
    volumes = torch.randn(5, 2, 24, 32, 16)
    with torch.no_grad():
        expected = network.eval()(volumes)
    assert float(expected.std()) > 0.05
    torch.testing.assert_close(FORMATS[to].run(tmp_path / FORMATS[to].path)(volumes), expected, atol=1e-4, rtol=0)
    assert "dims: [ 2, 24, 32, 16 ]" in config_pbtxt(read_card(checkpoint), "views", one_size=True)


@pytest.mark.slow
def test_inference_traces_it_for_the_first_window_and_runs_others_eager(checkpoint):
    network = Trained.read(checkpoint, ROOT).original
    fast = Accelerated(network)
    for shape in [(2, 2, 24, 32, 16), (3, 2, 24, 32, 16), (1, 2, 20, 20, 20)]:
        volumes = torch.randn(shape)
        with torch.no_grad():
            (logits, features), expected = fast.with_features(volumes), network.with_features(volumes)
        assert fast.chosen == "torchscript"
        torch.testing.assert_close((logits, features), expected, atol=1e-4, rtol=0)


def test_whole_volumes_of_any_size_have_no_export(checkpoint, tmp_path):
    card = read_card(checkpoint)
    card["input"]["roi_size"] = None
    save_checkpoint(tmp_path / "m.pt", network_from_card(card), card=card)
    with pytest.raises(
        CrossDError, match=r"of MultiView takes volumes of one size.*roi_size null, whole volumes.*--roi_size"
    ):
        export_network(tmp_path / "m.pt", "torchscript", tmp_path / "made", bundle=ROOT)

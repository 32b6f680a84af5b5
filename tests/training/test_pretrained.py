"""What is loaded into a network before it is trained, and what is refused."""

from __future__ import annotations

import pytest
import torch
from crossd.cards.from_weights import FROM_SCRATCH
from crossd.checkpoints import read_card, read_checkpoint, save_checkpoint
from crossd.errors import CrossDError
from crossd.inference import network_from_card
from crossd.networks import CrossDResNet, PlainResNet
from crossd.training import PretrainedCheckpointLoader, TrainedCheckpointLoader, model_card
from ignite.engine import Engine


def network(seed, classes=2, depth=10):
    torch.manual_seed(seed)
    return CrossDResNet(3, 1, classes, depth=depth, width=4)


def start(handler):
    engine = Engine(lambda engine, batch: None)
    handler.attach(engine)
    engine.run([0])


@pytest.fixture
def source(tmp_path):
    card = model_card("multiclass", ["a", "b"], {"depth": 10, "width": 4}, FROM_SCRATCH["input"])
    save_checkpoint(tmp_path / "model.pt", network(1), card)
    return str(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("classes", "head_is_taken"),
    [(["a", "b"], True), (["b", "a"], False), (["x", "y"], False), (["a", "b", "c"], False)],
)
def test_the_backbone_is_the_sources_and_the_head_only_for_the_same_classes(source, classes, head_is_taken):
    target = network(2, len(classes))
    fresh = target.fc.weight.clone()
    start(PretrainedCheckpointLoader(target, source, classes))
    wanted = network(1).state_dict()
    for name, value in target.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(value, wanted[name]), name
    assert torch.equal(target.fc.weight, wanted["fc.weight"] if head_is_taken else fresh)


def test_the_bundles_own_model_keeps_its_head_too(root):
    """Its card stands in the bundle's metadata, not in the file."""
    weights = str(root / "models" / "model.pt")
    card = read_card(weights)
    stored = read_checkpoint(weights)["model"]["fc.weight"]
    for classes, head_is_taken in ((card["class_names"], True), (card["class_names"][::-1], False)):
        target = network_from_card(card)
        start(PretrainedCheckpointLoader(target, weights, classes))
        assert torch.equal(target.fc.weight, stored) is head_is_taken


def test_a_bundles_own_model_says_where_its_input_differs(root, caplog):
    weights = str(root / "models" / "model.pt")
    card = read_card(weights)
    other = {**card, "input": {**card["input"], "mean": 0.75}}
    start(PretrainedCheckpointLoader(network_from_card(card), weights, card["class_names"], card=other))
    assert "the run has 0.75: the weights expect the former" in caplog.text


def test_fill_says_what_plain_2d_kernels_become(tmp_path):
    torch.save(PlainResNet(2, 1, 2, depth=10, width=4).state_dict(), tmp_path / "flat.pt")
    target = CrossDResNet(3, 1, 2, depth=10, width=4, alignment="rest", motion="rotate")
    for fill, slices in (("mean", 7), (None, 1)):
        start(PretrainedCheckpointLoader(target, str(tmp_path / "flat.pt"), ["a", "b"], fill=fill))
        assert int(target.conv1.weight.abs().sum((0, 1, 3, 4)).count_nonzero()) == slices


def test_random_weights_only_when_asked(source):
    target = network(2)
    start(PretrainedCheckpointLoader(target, "none", ["a", "b"]))
    assert all(
        torch.equal(a, b) for a, b in zip(target.state_dict().values(), network(2).state_dict().values(), strict=True)
    )


def test_another_architecture_is_refused_and_nothing_is_changed(source):
    target = network(2, depth=18)
    with pytest.raises(CrossDError, match=r"A checkpoint must fit the network.*fits .* entries of CrossDResNet.*depth"):
        start(PretrainedCheckpointLoader(target, source, ["a", "b"]))
    assert torch.equal(target.conv1.weight, network(2, depth=18).conv1.weight)


def test_a_missing_file_is_refused():
    with pytest.raises(CrossDError, match=r"there is none at /nowhere\.pt"):
        start(PretrainedCheckpointLoader(network(2), "/nowhere.pt", ["a", "b"]))


def test_a_trained_model_is_loaded_whole_or_refused(source):
    target = network(2)
    start(TrainedCheckpointLoader(target, source))
    assert torch.equal(target.fc.weight, network(1).fc.weight)
    with pytest.raises(CrossDError, match=r"strict_head=True asks for the checkpoint's own last layer"):
        start(TrainedCheckpointLoader(network(2, classes=3), source))


def test_images_as_volumes_are_held_against_what_images_were_shown_as():
    """A self-supervised encoder's card has a mean and std of the volumes and others of the images."""
    from crossd.training.pretrained import contradictions

    stored = {"input": {"mean": 0.3, "std": 0.2}, "pseudo_3d": {"kernel_size": 4, "mean": 0.5, "std": 0.4}}
    assert contradictions(stored, {"input": {"mean": 0.5, "std": 0.4, "pseudo_3d": {"kernel_size": 4}}}) == []
    assert contradictions(stored, {"input": {"mean": 0.3, "std": 0.2}}) == []
    assert len(contradictions(stored, {"input": {"mean": 0.3, "std": 0.2, "pseudo_3d": {"kernel_size": 4}}})) == 2

"""`CrossDUNet`: one state dict in 2D and 3D, any size, deep supervision in training only, and the encoder's weights."""

from __future__ import annotations

import monai.networks.nets
import pytest
import torch
from crossd import CrossDConv, CrossDError, CrossDResNet, fold, load_pretrained
from crossd.networks import CrossDUNet
from monai.losses import DeepSupervisionLoss, DiceCELoss
from torch import nn

SMALL = {"in_channels": 1, "out_channels": 3, "depth": 10, "width": 4}
STEMS = [{}, {"conv1_t_size": 3, "no_max_pool": True}, {"conv1_t_stride": 1}, {"conv1_t_stride": 4}]


@pytest.mark.parametrize("stem", STEMS)
def test_inflates_strictly_and_answers_at_the_input_size(stem):
    flat, deep = CrossDUNet(2, **SMALL, **stem).eval(), CrossDUNet(3, **SMALL, **stem).eval()
    deep.load_state_dict(flat.state_dict())
    assert flat(torch.rand(2, 1, 33, 20)).shape == (2, 3, 33, 20)
    assert deep(torch.rand(1, 1, 19, 33, 7)).shape == (1, 3, 19, 33, 7)


def test_every_spatial_weight_is_a_cross_d_convolution():
    network = CrossDUNet(3, **SMALL, motion="rotate", view="projection")
    layers = [module for module in network.modules() if isinstance(module, (CrossDConv, nn.Conv3d, nn.ConvTranspose3d))]
    assert all(isinstance(layer, CrossDConv) for layer in layers)
    assert {layer.motion for layer in layers} == {"rotate"}
    assert monai.networks.nets.CrossDUNet is CrossDUNet


def test_a_size_that_the_strides_divide_is_not_padded_and_a_crop_of_it_sees_the_border_repeated():
    network = CrossDUNet(2, **SMALL, alignment="rest").eval()
    image = torch.rand(1, 1, 30, 32)
    repeated = torch.cat([image, image[:, :, -1:], image[:, :, -1:]], 2)
    assert torch.allclose(network(image), network(repeated)[:, :, :30], atol=1e-6)


@pytest.mark.parametrize("stem", STEMS)
def test_the_image_reaches_the_answer_at_full_resolution(stem):
    """A change of one voxel changes that voxel's answer by another way than through the coarse maps alone."""
    network = CrossDUNet(2, **SMALL, **stem, alignment="rest", act="leakyrelu").eval()
    image = torch.rand(1, 1, 64, 64, requires_grad=True)
    network(image)[0, 0, 31, 33].backward()
    assert float(image.grad[0, 0, 31, 33].abs()) > 0
    widest = int((image.grad[0, 0].abs().sum(1) > 0).sum())
    assert widest > 8  # and the encoder's maps do too


def test_deep_supervision_answers_in_training_only_and_trains_with_monais_loss():
    network = CrossDUNet(3, **SMALL, deep_supervision=2)
    volume, masks = torch.rand(2, 1, 32, 32, 40), torch.randint(3, (2, 1, 32, 32, 40)).float()
    answers = network(volume)
    assert [tuple(answer.shape[2:]) for answer in answers] == [(32, 32, 40), (16, 16, 20), (8, 8, 10)]
    DeepSupervisionLoss(DiceCELoss(softmax=True, to_onehot_y=True))(answers, masks).backward()
    assert all(float(head.weight.grad.abs().sum()) > 0 for head in network.heads)
    assert network.eval()(volume).shape == (2, 3, 32, 32, 40)


@pytest.mark.parametrize("deep_supervision", [0, 2])
def test_folds_and_scripts(deep_supervision):
    network = CrossDUNet(3, **SMALL, deep_supervision=deep_supervision).eval()
    folded = fold(network)
    assert not any(isinstance(module, CrossDConv) for module in folded.modules())
    volume = torch.rand(1, 1, 21, 32, 17)
    with torch.no_grad(), torch.jit.optimized_execution(False):
        expected = network(volume)
        assert torch.allclose(folded(volume), expected, atol=1e-5)
        assert torch.allclose(torch.jit.script(folded)(volume), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"conv1_t_stride": 3}, "stride of a U-Net's stem must be 1, 2, 4 …, .* got 3"),
        ({"deep_supervision": 5}, "0 to 4 for this network; got 5"),
        ({"decoder_channels": [8, 8]}, r"each of its 5 blocks, from coarse to fine; got \[8, 8\]"),
        ({"depth": 11}, "`depth` must be one of"),
        ({"angle": 3}, "takes spatial_dims, .*alignment, .*; got angle"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(CrossDError, match=message):
        CrossDUNet(3, **{**SMALL, **options})


ENCODER = {"in_channels": 1, "depth": 10, "width": 4}


def encoder_and_rest(network):
    names = list(network.state_dict())
    return [n for n in names if n.startswith("encoder.")], [n for n in names if not n.startswith("encoder.")]


def test_takes_a_2d_classifier_into_its_encoder_and_names_the_decoder_as_fresh():
    images = CrossDResNet(2, num_classes=5, **ENCODER)
    network = CrossDUNet(3, **SMALL)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    report = load_pretrained(network, {"model": images.state_dict()})
    encoder, rest = encoder_and_rest(network)
    assert set(report.transferred) == set(encoder)
    assert set(report.missing) == set(rest)
    assert report.unused == ("fc.weight", "fc.bias")
    assert "decoder and heads stay as initialised" in str(report)
    after = network.state_dict()
    assert all(torch.equal(after[name], images.state_dict()[name.removeprefix("encoder.")]) for name in encoder)
    assert all(torch.equal(after[name], before[name]) for name in rest)


def test_takes_an_encoder_without_a_head_and_wrapped_ones():
    """As self-supervised pre-training writes it, and as DataParallel does."""
    images = CrossDResNet(3, num_classes=5, **ENCODER)
    state = {name: value for name, value in images.state_dict().items() if not name.startswith("fc.")}
    for prefix in ("", "module.", "backbone."):
        network = CrossDUNet(3, **SMALL)
        report = load_pretrained(network, {f"{prefix}{name}": value for name, value in state.items()})
        assert len(report.transferred) == len(state)
        assert report.unused == ()


def test_takes_plain_2d_resnets_of_three_channels():
    plain = monai.networks.nets.ResNet(
        "basic", [1, 1, 1, 1], [4, 8, 16, 32], 2, 3, num_classes=7, bias_downsample=False, conv1_t_stride=2
    )
    network = CrossDUNet(2, **SMALL).eval()
    report = load_pretrained(network, plain.state_dict())
    assert "encoder.conv1.weight" in report.adapted
    assert len(report.inflated) > 5
    image = torch.rand(1, 1, 32, 32)
    theirs = plain.eval().conv1(image.repeat(1, 3, 1, 1))
    assert torch.allclose(network.encoder.conv1(image), theirs, atol=1e-5)


def test_official_layout():
    images = CrossDResNet(2, num_classes=5, **ENCODER)
    official = {}
    for name, value in images.state_dict().items():
        if "running_motion" not in name:
            layer = name.removesuffix("weight") + "running_motion" in images.state_dict()
            name = name.replace("predictor", "rotation_params")
            official[name.removesuffix("weight") + "weights_3d" if layer and value.dim() == 5 else name] = value
    report = load_pretrained(CrossDUNet(3, **SMALL), {"model": official})
    assert report.layout == "official Cross-D"
    assert "encoder.layer1.0.conv1.weight" in report.transferred


def test_takes_its_own_whole():
    one, other = CrossDUNet(3, **SMALL, deep_supervision=1), CrossDUNet(3, **SMALL, deep_supervision=1)
    report = load_pretrained(other, {"model": one.state_dict()}, strict_head=True)
    assert len(report.transferred) == len(one.state_dict())
    assert torch.equal(other.heads[0].weight, one.heads[0].weight)


def test_refuses_another_encoder_and_an_encoder_where_a_whole_model_is_asked_for():
    network = CrossDUNet(3, **SMALL)
    with pytest.raises(CrossDError, match="A checkpoint must fit the network it is loaded into"):
        load_pretrained(network, CrossDResNet(3, num_classes=5, in_channels=1, depth=10, width=8).state_dict())
    with pytest.raises(CrossDError, match=r"strict_head=True asks for a whole model; .*encoder only"):
        load_pretrained(network, CrossDResNet(3, num_classes=5, **ENCODER).state_dict(), strict_head=True)

"""`CrossDResNet` is MONAI's ResNet, key for key, in 2D and 3D."""

from __future__ import annotations

import monai.networks.nets
import pytest
import torch
from crossd import CrossDError, CrossDResNet, fold

MONAI = {depth: getattr(monai.networks.nets, f"resnet{depth}") for depth in (10, 18, 34, 50, 101)}


@pytest.mark.parametrize("depth", MONAI)
def test_maps_key_for_key_to_monais_resnet(depth):
    with torch.device("meta"):
        ours = fold(CrossDResNet(3, 3, 5, depth=depth, alignment="raw"))
        theirs = MONAI[depth](
            spatial_dims=3,
            n_input_channels=3,
            num_classes=5,
            conv1_t_stride=2,
            bias_downsample=False,
            shortcut_type="B",
        )
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}


def test_raw_equals_monais_resnet_with_the_weights_copied():
    ours = CrossDResNet(3, 1, 5, width=8, alignment="raw").eval()
    theirs = monai.networks.nets.ResNet(
        "basic", [2, 2, 2, 2], [8, 16, 32, 64], 3, 1, conv1_t_stride=2, num_classes=5, bias_downsample=False
    ).eval()
    theirs.load_state_dict(fold(ours).state_dict())
    x = torch.randn(1, 1, 33, 40, 37)
    torch.testing.assert_close(ours(x), theirs(x))


def test_reachable_through_monai_and_inflates_strictly():
    assert monai.networks.nets.CrossDResNet is CrossDResNet
    flat = CrossDResNet(2, 2, 3, depth=50, width=4, no_max_pool=True, conv1_t_size=3, conv1_t_stride=1)
    deep = CrossDResNet(3, 2, 3, depth=50, width=4, no_max_pool=True, conv1_t_size=3, conv1_t_stride=1)
    deep.load_state_dict(flat.state_dict())
    assert deep.eval()(torch.randn(1, 2, 8, 8, 8)).shape == (1, 3)


def test_parameter_count_of_the_official_resnet18():
    with torch.device("meta"):
        network = CrossDResNet(2, 3, 1000)
    spatial = sum(p.numel() for name, p in network.named_parameters() if ".predictor." not in name)
    assert spatial == 33_716_904  # the 3D ResNet-18 of the same widths


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 20}, "`depth` must be one of 10, 18, 34, 50, 101; got 20"),
        ({"spatial_dims": 1}, "`spatial_dims` must be one of 2, 3; got 1"),
        ({"angle": 3}, "takes the options alignment, motion, view, momentum, max_angle; got angle"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(CrossDError, match=message):
        CrossDResNet(**{"spatial_dims": 3, "in_channels": 1, "num_classes": 2, **options})


@pytest.mark.parametrize("depth", [10, 50])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_classifier_is_the_head_on_the_last_feature_map(depth, dims):
    network = CrossDResNet(dims, 1, 3, depth=depth, width=4).eval()
    x = torch.rand(2, 1, *[16] * dims)
    maps = network.feature_maps(x)
    assert tuple(feature.shape[1] for feature in maps) == network.feature_channels
    assert torch.allclose(network.fc(maps[-1].flatten(2).mean(2)), network(x), atol=1e-6)


def test_a_network_with_feature_maps_can_be_scripted():
    network = fold(CrossDResNet(3, 1, 3, depth=10, width=4).eval())
    x = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad(), torch.jit.optimized_execution(False):
        assert torch.allclose(torch.jit.script(network)(x), network(x), atol=1e-6)

"""The network that is pre-trained: encoders under their own names, a decoder without skips, one forward to a loss."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from crossd import CrossDConv, CrossDError, CrossDResNet, load_pretrained
from crossd.networks import PlainResNet
from crossd.ssl import PCRLIteration, PCRLNetwork, PCRLObjective, build_encoder
from monai.networks.nets import SegResNet, SwinUNETR, UNet
from torch import nn

VIEW = (16, 16, 16)
OPTIONS = {
    "crossd": {"depth": 10, "width": 4, "no_max_pool": True, "conv1_t_size": 3},
    "segresnet": {"width": 8},
    "unet": {"width": 4},
    "swinunetr": {"width": 12, "depths": [1, 1, 1, 1], "num_heads": [3, 3, 3, 3]},
}
WHOLE = {
    "crossd": lambda: CrossDResNet(3, 1, 2, **OPTIONS["crossd"]),
    "segresnet": lambda: SegResNet(init_filters=8),
    "unet": lambda: UNet(3, 1, 2, channels=[4, 8, 16, 32, 64], strides=[2] * 4, norm="batch"),
    "swinunetr": lambda: SwinUNETR(1, 2, feature_size=12, depths=[1] * 4, num_heads=[3] * 4),
}
DECODERS = {
    "crossd": (),
    "segresnet": ("up_*", "conv_final*"),
    "unet": ("model.2.*", "*.submodule.2.*"),
    "swinunetr": ("encoder*", "decoder*", "out.*"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_an_encoders_weights_fit_the_network_they_are_of(name):
    torch.manual_seed(1)
    encoder = build_encoder(name, 1, OPTIONS[name]).eval()
    maps = encoder(torch.rand(1, 1, *VIEW))
    sizes = [feature.shape[-1] for feature in maps]
    assert sizes == sorted(sizes)  # coarse to fine
    state = encoder.net.state_dict()
    torch.manual_seed(2)
    whole = WHOLE[name]()
    assert {n: v.shape for n, v in state.items()}.items() <= {n: v.shape for n, v in whole.state_dict().items()}.items()
    report = load_pretrained(whole, {"model": state}, allow_missing=DECODERS[name])
    assert set(report.transferred) == set(state)
    assert not report.unused
    for n, value in whole.state_dict().items():
        assert n not in state or torch.equal(value, state[n])
    # and MONAI's way
    missing = WHOLE[name]().load_state_dict(state, strict=False)
    assert not missing.unexpected_keys


def test_the_maps_are_those_of_the_whole_network():
    """The bottom of MONAI's UNet and SegResNet, seen by hooks, is the encoder's coarsest map."""
    x = torch.rand(1, 1, 32, 32, 32)
    seen = {}
    for name, bottom in (
        ("segresnet", "down_layers.3"),
        ("unet", "model.1.submodule.1.submodule.1.submodule.1.submodule"),
    ):
        encoder, whole = build_encoder(name, 1, OPTIONS[name]).eval(), WHOLE[name]().eval()
        whole.load_state_dict(encoder.net.state_dict(), strict=False)
        whole.get_submodule(bottom).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out}))
        whole(x)
        torch.testing.assert_close(encoder(x)[0], seen[name])


@pytest.mark.parametrize(("name", "kind"), [("segresnet", nn.Conv3d), ("unet", nn.Conv3d)])
def test_cross_d_convolutions_in_other_networks(name, kind):
    plain, crossd = (build_encoder(name, 1, OPTIONS[name], conv) for conv in ("plain", "crossd"))
    count = sum(isinstance(layer, kind) for layer in plain.modules())
    assert count == sum(isinstance(layer, CrossDConv) for layer in crossd.modules()) >= 5
    assert isinstance(build_encoder("crossd", 1, OPTIONS["crossd"], "plain").net, PlainResNet)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet", 1, {}), "`encoder` must be one of 'crossd', 'segresnet', 'unet', 'swinunetr'; got 'resnet'"),
        (
            ("segresnet", 1, {"colour": 3}),
            "segresnet got {'colour': 3}: .*Correct --depth, --width or --network_options",
        ),
        (("segresnet", 1, {"width": 5}), "segresnet got {'width': 5}"),
        (("swinunetr", 1, {}, "crossd"), "A transformer has no convolutions to be replaced, got conv 'crossd'"),
        (("unet", 1, {}, "acs"), "`conv` must be one of 'crossd', 'plain'; got 'acs'"),
    ],
)
def test_encoders_that_are_refused(arguments, message):
    with pytest.raises(CrossDError, match=message):
        build_encoder(*arguments)


@pytest.fixture
def network():
    return PCRLNetwork(build_encoder("crossd", 1, OPTIONS["crossd"]), 1, VIEW, PCRLObjective())


def batch(cases=2, crops=2):
    views = {name: torch.rand(cases, 1, *VIEW) for name in ("view_1", "view_2", "target")}
    return {**views, "sub_crops": torch.rand(cases, crops, 1, 8, 8, 8)}


def test_the_decoder_sees_the_coarsest_map_only(network):
    maps = network.encoder(torch.rand(2, 1, *VIEW))
    assert [feature.shape[-1] for feature in maps] == [1, 2, 4, 8, 8]
    for feature in maps:
        feature.retain_grad()
    network.encoder.forward = lambda _: maps
    decoded = network.feature_maps(torch.rand(2, 1, *VIEW))
    assert [(f.shape[1], f.shape[-1]) for f in decoded] == [(16, 2), (8, 4), (4, 8), (8, 16)]
    direct = torch.autograd.grad(decoded[-1].sum(), maps, allow_unused=True, retain_graph=True)
    assert direct[0].abs().sum() > 0
    before = [f.clone() for f in decoded]
    network.encoder.forward = lambda _: [maps[0], *(torch.zeros_like(f) for f in maps[1:])]
    for old, new in zip(before, network.feature_maps(torch.rand(2, 1, *VIEW)), strict=True):
        torch.testing.assert_close(old, new)  # sizes apart, the finer maps are of no account


def test_one_forward_is_the_objective_of_the_views(network):
    network.eval()  # so that batch norms give the same twice
    given = batch()
    out = network(**given, epoch=3.0, seed=11)
    features = {name: network.feature_maps(given[name]) for name in ("view_1", "view_2")}
    crops = [network.heads(network.feature_maps(given["sub_crops"][:, i]), sub_crops=True) for i in (0, 1)]
    expected = network.objective(
        network.heads(features["view_1"]),
        network.heads(features["view_2"]),
        crops,
        given["target"],
        3.0,
        torch.Generator().manual_seed(11),
    )
    for name, value in expected.items():
        torch.testing.assert_close(out[name], value)
    torch.testing.assert_close(out["restored"], network.heads(features["view_1"]).restored)
    assert [name for name, value in out.items() if value.requires_grad] == ["loss"]


def test_without_sub_crops_and_with_views_of_any_size(network):
    out = network(**{**batch(), "sub_crops": torch.empty(2, 0)}, epoch=0.0, seed=0)
    assert float(out["sub_crops"]) == 0
    view = torch.rand(2, 1, 13, 20, 18)
    assert network(view, view, torch.rand(2, 1, 1, 7, 9, 8), view, 0.0, 0)["restored"].shape == view.shape


def test_too_few_scales():
    encoder = build_encoder("unet", 1, {"channels": [4, 8], "strides": [2]})
    with pytest.raises(CrossDError, match=r"compared at 3 scales or more; .* which make 1. Pass a larger --roi_size"):
        PCRLNetwork(encoder, 1, VIEW, PCRLObjective())


def engine(network, iteration=3, epoch_length=4):
    return SimpleNamespace(
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.1),
        scaler=None,
        non_blocking=False,
        state=SimpleNamespace(iteration=iteration, epoch=1, epoch_length=epoch_length, device="cpu"),
    )


def test_a_step_trains_the_encoder_and_is_the_same_again(network):
    given = {**batch(), "case": ["a", "b"], "kind": torch.zeros(2)}
    start = {name: value.clone() for name, value in network.state_dict().items()}
    ends = []
    for _ in range(2):
        network.load_state_dict(start)
        output = PCRLIteration(seed=4)(engine(network), given)
        ends.append({name: value.clone() for name, value in network.state_dict().items()})
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in start)
    assert not torch.equal(ends[0]["encoder.net.layer4.0.conv1.weight"], start["encoder.net.layer4.0.conv1.weight"])
    assert float(output["beta"]) == pytest.approx(PCRLObjective()(*_views(), epoch=0.5)["beta"].item())
    assert not output["loss"].requires_grad


def _views():
    from crossd.ssl import ViewOutput

    z = torch.rand(2, 4)
    view = ViewOutput([(z, z)], [torch.ones(1)], torch.ones(1))
    return view, view, [], torch.ones(1)


def test_lower_precision(network):
    seen = []
    network.encoder.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    for amp in (False, True):  # configs allow it on a GPU only: here the forward pass counts
        output = PCRLIteration(amp=amp)(engine(network), {**batch(), "case": ["a", "b"], "kind": torch.zeros(2)})
        assert torch.isfinite(output["loss"])
        assert set(seen) == {amp}
        seen.clear()


def test_a_loss_that_is_no_number_names_the_batch(network):
    given = {**batch(), "case": ["set/a", "set/b"], "kind": torch.zeros(2)}
    given["view_2"][1, 0, 3, 3, 3] = float("nan")
    before = {name: value.clone() for name, value in network.named_parameters()}
    message = r"got loss nan.* in step 3 \(epoch 1\) for the batch set/a, set/b\. The views of set/b hold"
    with pytest.raises(CrossDError, match=message):
        PCRLIteration()(engine(network), given)
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())
    with torch.no_grad():
        network.decoder.steps[0][0].conv.weight.fill_(float("inf"))
    with pytest.raises(CrossDError, match="All views are finite, so the weights are not: pass a smaller --learning_ra"):
        PCRLIteration()(engine(network), {**batch(9), "case": list("abcdefghi"), "kind": torch.zeros(9)})


def test_a_transformer_without_what_monai_builds_it_with(monkeypatch):
    monkeypatch.setattr("crossd.ssl.encoders.find_spec", lambda name: None)
    with pytest.raises(
        CrossDError, match=r"SwinUNETR needs the package einops, .* pip install 'crossd\[transformers\]'"
    ):
        build_encoder("swinunetr", 1, {})

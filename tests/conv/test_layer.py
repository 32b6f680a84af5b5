"""Laws of the layer: one weight in 2D and 3D, every argument honoured, the same state dict everywhere."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
import shutil

import pytest
import torch
import torch.nn.functional as F
from crossd import CrossDConv, CrossDError, embed_kernel, fold, set_alignment
from torch import nn

double = torch.float64


def test_2d_and_3d_share_one_state_dict_in_train_and_eval():
    layers = [CrossDConv(dims, 4, 6, 3) for dims in (2, 3)]
    keys = [list(layer.train(mode).state_dict()) for layer in layers for mode in (True, False)]
    assert all(other == keys[0] for other in keys)
    assert {key.split(".")[0] for key in keys[0]} == {"weight", "bias", "predictor", "running_motion"}
    assert list(CrossDConv(2, 4, 6, 1).state_dict()) == ["weight", "bias"]


def test_predictor_weights_have_no_spatial_axes():
    state = CrossDConv(2, 5, 6, 3).state_dict()
    assert state["predictor.0.weight"].shape == (16, 5)
    assert state["predictor.3.weight"].shape == (4, 16)


@pytest.mark.parametrize("motion", ["shift", "rotate"])
@pytest.mark.parametrize("alignment", ["raw", "rest", "running"])
def test_a_volume_in_one_slice_gives_the_2d_answer_at_that_slice(motion, alignment):
    image_layer = CrossDConv(2, 2, 3, 3, padding=1, alignment=alignment, motion=motion, dtype=double)
    image_layer.running_motion.copy_(torch.tensor([0.3, -0.2, 0.4]))
    volume_layer = CrossDConv(3, 2, 3, 3, padding=1, alignment=alignment, motion=motion, dtype=double)
    volume_layer.load_state_dict(image_layer.state_dict())
    image = torch.randn(1, 2, 7, 6, dtype=double)
    volume = torch.zeros(1, 2, 5, 7, 6, dtype=double)
    volume[:, :, 2] = image
    torch.testing.assert_close(volume_layer(volume)[:, :, 2], image_layer(image))


@pytest.mark.parametrize("motion", ["shift", "rotate"])
def test_projection_answers_as_a_volume_constant_along_depth(motion):
    options = {"padding": 1, "alignment": "running", "motion": motion, "view": "projection", "dtype": double}
    image_layer = CrossDConv(2, 2, 3, 3, **options)
    image_layer.running_motion.copy_(torch.tensor([0.3, -0.2, 0.4]))
    volume_layer = CrossDConv(3, 2, 3, 3, **options)
    volume_layer.load_state_dict(image_layer.state_dict())
    image = torch.randn(2, 2, 7, 6, dtype=double)
    expected = image_layer(image)
    answer = volume_layer(image[:, :, None].expand(-1, -1, 6, -1, -1))
    for depth in range(1, 5):  # zero padding breaks the outer slices
        torch.testing.assert_close(answer[:, :, depth], expected)
    circular = CrossDConv(3, 2, 3, 3, **options, padding_mode="circular")
    flat = CrossDConv(2, 2, 3, 3, **options, padding_mode="circular")
    for layer in (circular, flat):
        layer.load_state_dict(image_layer.state_dict())
    answer = circular(image[:, :, None].expand(-1, -1, 6, -1, -1))
    torch.testing.assert_close(answer, flat(image)[:, :, None].expand_as(answer))


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1},
        {"padding": "same"},
        {"padding": "valid"},
        {"dilation": 2, "padding": 2},
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": "same", "padding_mode": "circular", "dilation": 2},
        {"groups": 2, "bias": False},
        {"padding": 1, "padding_mode": "replicate", "stride": 2, "groups": 2},
    ],
    ids=str,
)
def test_every_argument_means_what_it_means_in_torch(spatial_dims, options):
    layer = CrossDConv(spatial_dims, 4, 6, 3, **options, alignment="raw", dtype=double)
    nn.init.normal_(layer.bias) if layer.bias is not None else None
    plain = {2: nn.Conv2d, 3: nn.Conv3d}[spatial_dims](4, 6, 3, **options, dtype=double)
    state = {"weight": layer.kernel()} | ({} if layer.bias is None else {"bias": layer.bias})
    plain.load_state_dict(state)
    x = torch.randn(2, 4, *(9, 8, 7)[:spatial_dims], dtype=double)
    torch.testing.assert_close(layer(x), plain(x))
    for name in (
        "kernel_size",
        "stride",
        "dilation",
        "groups",
        "in_channels",
        "out_channels",
        "padding_mode",
        "padding",
    ):
        assert getattr(layer, name) == getattr(plain, name)


@pytest.mark.parametrize("size", [2, 4])
def test_same_padding_of_even_kernels(size):
    layer = CrossDConv(2, 1, 1, size, padding="same", alignment="raw")
    plain = nn.Conv2d(1, 1, size, padding="same")
    plain.load_state_dict({"weight": layer.kernel(), "bias": layer.bias})
    x = torch.randn(1, 1, 9, 8)
    torch.testing.assert_close(layer(x), plain(x))
    torch.testing.assert_close(fold(layer)(x), plain(x))


def test_each_sample_is_convolved_with_its_own_kernel():
    layer = CrossDConv(2, 4, 6, 3, padding=1, groups=2, dtype=double).eval()
    x = torch.randn(3, 4, 8, 8, dtype=double) * torch.tensor([0.1, 1, 10])[:, None, None, None]
    v = layer.predictor(x)
    assert (v[0] - v[1]).abs().max() > 1e-3
    kernels = layer.kernel(v)
    one_by_one = [F.conv2d(x[i : i + 1], kernels[i], layer.bias, padding=1, groups=2) for i in range(3)]
    torch.testing.assert_close(layer(x), torch.cat(one_by_one))


def test_dynamic_3d_predicts_with_the_same_predictor():
    image_layer = CrossDConv(2, 3, 4, 3, dtype=double).eval()
    volume_layer = CrossDConv(3, 3, 4, 3, alignment="dynamic", dtype=double).eval()
    volume_layer.load_state_dict(image_layer.state_dict())
    x = torch.randn(2, 3, 6, 5, 4, dtype=double)
    v = volume_layer.predictor(x)
    torch.testing.assert_close(v, image_layer.predictor(x.flatten(3)))  # positions only: the layout does not matter
    expected = [F.conv3d(x[i : i + 1], volume_layer.kernel(v)[i], volume_layer.bias) for i in range(2)]
    torch.testing.assert_close(volume_layer(x), torch.cat(expected))


def test_running_motion_follows_2d_training_only():
    layer = CrossDConv(2, 3, 4, 3, padding=1)
    x = torch.randn(4, 3, 8, 8)
    copied = copy.deepcopy(layer)
    v = copied.predictor(x)
    layer(x)
    torch.testing.assert_close(layer.running_motion, 0.1 * v.mean(0))
    before = layer.running_motion.clone()
    layer.eval()(x)
    torch.testing.assert_close(layer.running_motion, before)
    volume_layer = CrossDConv(3, 3, 4, 3, alignment="dynamic").train()
    volume_layer(torch.randn(2, 3, 5, 5, 5))
    assert not volume_layer.running_motion.any()


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_predictor_needs_gradient_only_where_it_is_used(spatial_dims):
    layer = CrossDConv(spatial_dims, 2, 2, 3, alignment="rest")
    assert not any(parameter.requires_grad for parameter in layer.predictor.parameters())
    set_alignment(layer, "dynamic")
    layer(torch.randn(2, 2, *[5] * spatial_dims)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())


def test_a_training_batch_with_one_value_per_channel_uses_running_statistics():
    layer = CrossDConv(2, 3, 4, 3, padding=1).train()
    assert torch.isfinite(layer(torch.randn(1, 3, 1, 1))).all()
    assert layer.predictor[1].num_batches_tracked == 0


@pytest.mark.parametrize(("motion", "view"), list(itertools.product(["shift", "rotate"], ["slice", "projection"])))
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_gradcheck(spatial_dims, motion, view):
    layer = CrossDConv(spatial_dims, 2, 2, 3, alignment="dynamic", motion=motion, view=view, dtype=double).eval()
    x = torch.randn(2, 2, *[4] * spatial_dims, dtype=double, requires_grad=True)
    weight = layer.weight.detach().clone().requires_grad_()

    def run(x, weight):
        return torch.func.functional_call(layer, {"weight": weight}, x)

    assert torch.autograd.gradcheck(run, (x, weight), fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_autocast_and_half_modules_stay_near_float32(spatial_dims, dtype):
    layer = CrossDConv(spatial_dims, 4, 6, 3, padding=1, alignment="dynamic").eval()
    x = torch.randn(2, 4, *[6] * spatial_dims)
    expected = layer(x)
    with torch.autocast("cpu", dtype):
        answer = layer(x)
    assert answer.dtype == dtype
    torch.testing.assert_close(answer.float(), expected, atol=0.05, rtol=0.05)
    torch.testing.assert_close(layer.to(dtype)(x.to(dtype)).float(), expected, atol=0.05, rtol=0.05)


def test_channels_last_inputs():
    layer = CrossDConv(2, 4, 6, 3, padding=1).eval()
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(layer(x.contiguous(memory_format=torch.channels_last)), layer(x))
    volume_layer = CrossDConv(3, 4, 6, 3, padding=1, alignment="dynamic").eval()
    x = torch.randn(2, 4, 5, 6, 7)
    torch.testing.assert_close(volume_layer(x.contiguous(memory_format=torch.channels_last_3d)), volume_layer(x))


@pytest.mark.parametrize("alignment", ["raw", "rest", "running", "dynamic"])
@pytest.mark.parametrize(
    ("spatial_dims", "kernel_size", "motion"), [(2, 3, "shift"), (3, 3, "rotate"), (2, 4, "shift"), (3, 1, "shift")]
)
def test_script_copy_and_pickle(spatial_dims, kernel_size, motion, alignment):
    layer = CrossDConv(
        spatial_dims, 2, 4, kernel_size, alignment=alignment, motion=motion, padding=1, padding_mode="circular"
    ).eval()
    x = torch.randn(2, 2, *[6] * spatial_dims)
    scripted = torch.jit.script(layer)
    buffer = io.BytesIO()
    torch.jit.save(scripted, buffer)
    buffer.seek(0)
    for other in (scripted, torch.jit.load(buffer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(other(x), layer(x))


@pytest.mark.slow
@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",
        pytest.param(
            "inductor", marks=[pytest.mark.slow, pytest.mark.skipif(not shutil.which("g++"), reason="no g++")]
        ),
    ],
)
@pytest.mark.parametrize("spatial_dims", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_compiled_layer_trains_at_other_batch_and_image_sizes(spatial_dims, backend):
    """By both ways to convolve; torch.compile takes sizes for symbols from the second on."""
    torch._dynamo.reset()
    layer = CrossDConv(spatial_dims, 2, 4, 3, padding=1, alignment="dynamic")
    plain = copy.deepcopy(layer)
    compiled = torch.compile(layer, backend=backend, fullgraph=True)
    sizes = ((2, 6), (3, 7), (1, 1))
    for batch, size in sizes if backend != "inductor" else sizes[:2]:
        x = torch.randn(batch, 2, *[size] * spatial_dims)
        for module, network in ((compiled, layer), (plain, plain)):
            network.zero_grad()
            module(x).square().mean().backward()
        gradients = [[parameter.grad for parameter in network.parameters()] for network in (layer, plain)]
        torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(layer.state_dict(), plain.state_dict(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(compiled.eval()(x), plain.eval()(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("alignment", ["raw", "rest", "running", "dynamic"])
@pytest.mark.parametrize("motion", ["shift", "rotate"])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5])
def test_an_embedded_kernel_comes_back_at_rest(kernel_size, motion, alignment):
    kernel = torch.randn(3, 2, kernel_size, kernel_size, dtype=double)
    for view in ("slice", "projection"):
        layer = CrossDConv(2, 2, 3, kernel_size, alignment=alignment, motion=motion, view=view, dtype=double)
        layer.weight.data = embed_kernel(kernel, alignment=alignment, motion=motion)
        back = layer.kernel(torch.zeros(1, 3, dtype=double))[0] if alignment == "dynamic" else layer.kernel()
        torch.testing.assert_close(back, kernel)
    volume = torch.randn(3, 2, *[kernel_size] * 3, dtype=double)
    layer = CrossDConv(3, 2, 3, kernel_size, alignment=alignment, motion=motion, dtype=double)
    layer.weight.data = embed_kernel(volume, alignment=alignment, motion=motion)
    back = layer.kernel(torch.zeros(1, 3, dtype=double))[0] if alignment == "dynamic" else layer.kernel()
    torch.testing.assert_close(back, volume)


def test_mean_fill_is_i3d():
    kernel = torch.randn(1, 1, 3, 3)
    layer = CrossDConv(3, 1, 1, 3, alignment="rest")
    layer.weight.data = embed_kernel(kernel, alignment="rest", fill="mean")
    torch.testing.assert_close(layer.kernel(), (kernel / 3).unsqueeze(2).expand(1, 1, 3, 3, 3))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((4, 1, 1, 3), {}, "`spatial_dims` must be 2 or 3; got 4"),
        ((2, 3, 4, 3), {"groups": 2}, r"`in_channels` \(=3\) and `out_channels` \(=4\) must be divisible by `groups`"),
        ((2, 1, 1, (1, 3)), {}, r"must be the same along every axis, .* got \(1, 3\). Use one number"),
        ((2, 1, 1, (3, 3, 3)), {}, "`kernel_size` must be one integer or 2 of them"),
        ((2, 1, 1, 3), {"stride": 0}, "`stride` must be one integer or 2 of them, at least 1; got 0"),
        ((2, 1, 1, 3), {"padding": -1}, "`padding` must be one integer or 2 of them, at least 0; got -1"),
        ((2, 1, 1, 3), {"padding": "full"}, "must be 'same' or 'valid'; got 'full'"),
        ((2, 1, 1, 3), {"padding": "same", "stride": 2}, "padding='same' needs stride 1"),
        ((2, 1, 1, 3), {"padding_mode": "mirror"}, "`padding_mode` must be one of 'zeros'"),
        ((2, 1, 1, 3), {"alignment": "dynamics"}, "Did you mean 'dynamic'"),
        ((2, 1, 1, 3), {"motion": "rotation"}, "Did you mean 'rotate'"),
        ((2, 1, 1, 3), {"view": "sum"}, "`view` must be one of 'slice', 'projection'; got 'sum'"),
    ],
)
def test_arguments_that_cannot_be_honoured(arguments, options, message):
    with pytest.raises(CrossDError, match=message):
        CrossDConv(*arguments, **options)


def test_wrong_inputs():
    with pytest.raises(CrossDError, match=r"expects \(batch, channel, height, width\).*Add a batch axis"):
        CrossDConv(2, 1, 1, 3)(torch.randn(1, 5, 5))
    with pytest.raises(CrossDError, match="depends on the input, so there is no fixed one"):
        CrossDConv(2, 1, 1, 3).kernel()
    with pytest.raises(CrossDError, match="`alignment` must be one of"):
        set_alignment(CrossDConv(2, 1, 1, 3), "still")
    with pytest.raises(CrossDError, match="`fill` must be one of 'centre', 'mean', 'tomographic'; got 'left'"):
        embed_kernel(torch.randn(1, 1, 3, 3), fill="left")
    with pytest.raises(CrossDError, match=r"must be square .* got shape \(1, 1, 1, 7\)"):
        embed_kernel(torch.randn(1, 1, 1, 7))

"""VICReg's terms are those of its paper, and training by them makes images of one volume alike and of others unlike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from crossd.conv import CrossDConv
from crossd.errors import CrossDError
from crossd.networks.images_of_volumes import projections
from crossd.ssl import ImagesEncoder, ImagesNetwork, VICReg
from crossd.ssl.images_network import covariance, images_along, variance

SMALL = {"spatial_dims": 2, "in_channels": 1, "depth": 10, "width": 4, "motion": "rotate", "view": "projection"}
SMALL |= {"alignment": "rest"}


def test_the_terms_are_numpys():
    z = np.random.default_rng(0).normal(size=(7, 5)) * [0.1, 0.5, 1, 2, 3]
    spread = np.sqrt(z.var(0, ddof=1) + 1e-4)
    assert float(variance(torch.from_numpy(z))) == pytest.approx(np.maximum(0, 1 - spread).mean())
    off = np.cov(z.T) - np.diag(z.var(0, ddof=1))
    assert float(covariance(torch.from_numpy(z))) == pytest.approx((off**2).sum() / 5)


def test_the_loss_is_the_weighted_sum_and_unknown_terms_are_refused():
    torch.manual_seed(0)
    objective, features = VICReg(6, {"variance": 2.0, "covariance": 0}).eval(), torch.rand(2, 8, 6)
    terms = objective(*features)
    assert float(terms["loss"]) == pytest.approx(float(25 * terms["invariance"] + 2 * terms["variance"]), rel=1e-5)
    assert float(objective(features[0], features[0])["invariance"]) == 0
    with pytest.raises(CrossDError, match="`loss_weights` must be one of"):
        VICReg(6, {"similarity": 1.0})
    with pytest.raises(CrossDError, match="The weight of a term is 0 or more, got variance: -1"):
        VICReg(6, {"variance": -1})


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_images_are_a_slice_and_the_projections(axis):
    x = torch.rand(2, 1, 4, 5, 6)
    images = images_along(x, axis, [0, 3])
    assert torch.equal(images[1, 0], x[1].select(1 + axis, 3))
    assert torch.equal(images[:, 1:], projections(x, axis))


def test_every_axis_of_the_kernels_is_shaped_and_steps_repeat():
    """I3D's kernels are constant along depth; images along one axis alone would leave them so."""
    torch.manual_seed(0)
    encoder = ImagesEncoder(SMALL)
    network = ImagesNetwork(encoder, VICReg(encoder.net.num_features))
    kernel = encoder.net.conv1.weight
    view = torch.rand(4, 1, 16, 16, 16)
    seen = set()
    for seed in range(6):
        network.zero_grad()
        loss = network(view_1=view, view_2=view, epoch=0.0, seed=seed)["loss"]
        loss.backward()
        seen |= {axis for axis in (2, 3, 4) if kernel.grad.std(axis).max() < 1e-6 * kernel.grad.abs().max()}
        again = network(view_1=view, view_2=view, epoch=0.0, seed=seed)["loss"]
        assert float(again) == pytest.approx(float(loss), rel=1e-5)
    assert seen == {2, 3, 4}  # the gradient of a step is constant along the axis that its images do not show
    assert {layer.through_plane for layer in network.modules() if isinstance(layer, CrossDConv)} == {0}


def test_its_minimum_has_like_pairs_that_vary_and_outputs_that_do_not_vary_together():
    torch.manual_seed(0)
    objective = VICReg(4)
    objective.expander = torch.nn.Identity()
    pairs = [(0.1 * torch.randn(16, 1) * torch.ones(16, 4) + 0.1 * torch.randn(16, 4)).requires_grad_() for _ in "ab"]
    optimizer = torch.optim.Adam(pairs, lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        objective(*pairs)["loss"].backward()
        optimizer.step()
    terms = objective(*pairs)
    assert all(float(terms[name]) < 0.02 for name in ("invariance", "variance", "covariance"))

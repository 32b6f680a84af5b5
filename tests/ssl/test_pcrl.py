"""The objective of PCRLv2: cases by hand, what gets a gradient, and an independent reference in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from crossd import CrossDError
from crossd.ssl import MiddleHead, PCRLHeads, PCRLObjective, SimilarityHead, ViewOutput, annealing, similarity
from torch import nn


def made_view(batch: int = 2, scales: int = 3, sub_crop: bool = False) -> ViewOutput:
    pairs = [(torch.randn(batch, 4 + m), torch.randn(batch, 4 + m)) for m in range(scales)]
    if sub_crop:
        return ViewOutput(pairs)
    return ViewOutput(pairs, [torch.rand(batch, 1, 4, 4, 4) for _ in range(scales)], torch.rand(batch, 1, 4, 4, 4))


def test_similarity_by_hand():
    """cos of p = (3, 4) and z = (1, 0) is 3/5; of p = (0, 2) and z = (1, 1), 1/√2."""
    first = (torch.tensor([[1.0, 1.0]]), torch.tensor([[3.0, 4.0]]))
    second = (torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]))
    expected = -(3 / 5 + 1 / math.sqrt(2)) / 2
    assert similarity(first, second).item() == pytest.approx(expected)
    assert similarity(second, first).item() == pytest.approx(expected)


def test_similarity_is_the_mean_over_cases_between_minus_one_and_one():
    z = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert similarity((z, 5 * z), (z, 2 * z)).item() == -1
    assert similarity((z, -z), (z, -z)).item() == 1
    assert similarity((z, z * torch.tensor([[1.0], [-1.0]])), (z, z)).item() == -0.5


def test_projections_get_no_gradient():
    (z_1, p_1), (z_2, p_2) = pairs = [[torch.randn(3, 4, requires_grad=True) for _ in range(2)] for _ in range(2)]
    similarity(tuple(pairs[0]), tuple(pairs[1])).backward()
    assert z_1.grad is None
    assert z_2.grad is None
    assert p_1.grad.norm() > 0
    assert p_2.grad.norm() > 0


def test_annealing_by_hand():
    assert [annealing(epoch) for epoch in (0, 240, 1000)] == [1, 0, 0]
    assert annealing(80) == pytest.approx(0.75)  # cos 60° = 1/2
    assert annealing(160) == pytest.approx(0.25)
    assert annealing(5, epochs=10) == pytest.approx(0.5)


def test_every_term_by_hand():
    """One scale. Restored 0.5 for a target of 0: 0.25. Middle 1 for 0: 1, half of it at half time."""
    e_1, e_2 = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    images = torch.zeros(1, 1, 2, 2, 2)
    first = ViewOutput([(e_1, e_1)], [images + 1], images + 0.5)
    second = ViewOutput([(e_1, e_2)])  # p_1·z_2 = 1, p_2·z_1 = 0
    crops = [ViewOutput([(e_2, e_2)]), ViewOutput([(e_1, e_1)])]
    # with 1 and 2: first crop 0 and −(0 + 1)/2, second crop −1 and −(0 + 1)/2
    terms = PCRLObjective()(first, second, crops, target=images, epoch=120)
    by_hand = {
        "restoration": 0.25,
        "similarity": -0.5,
        "sub_crops": (0 - 0.5 - 1 - 0.5) / 4,
        "middle": 1.0,
        "beta": 0.5,
    }
    assert {name: terms[name].item() for name in by_hand} == pytest.approx(by_hand)
    assert terms["loss"].item() == pytest.approx(0.25 - 0.5 - 0.5 + 0.5)


def reference(first, second, crops, target, epoch, scales):
    """The formula, in numpy, for scales drawn before: [(1, 2), (1, crop 1), (2, crop 1), (1, crop 2), …]."""

    def cosine(a, b):
        return np.mean([np.dot(u, v) / (np.linalg.norm(u) * np.linalg.norm(v)) for u, v in zip(a, b, strict=True)])

    def compare(one, other, m):
        (z, p), (z_other, p_other) = (tuple(t.numpy() for t in view.pairs[m]) for view in (one, other))
        return -0.5 * (cosine(p, z_other) + cosine(p_other, z))

    def squared(a, b):
        return float(((a.numpy() - b.numpy()) ** 2).mean())

    m, *rest = scales
    local = sum(
        compare(first, crop, rest[2 * i]) + compare(second, crop, rest[2 * i + 1]) for i, crop in enumerate(crops)
    )
    beta = 0.5 * (1 + np.cos(np.pi * epoch / 240))
    total = squared(first.restored, target) + compare(first, second, m)
    return total + local / (2 * len(crops)) + beta * squared(first.middles[m], target)


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_reference(seed):
    torch.manual_seed(seed)
    first, second = made_view(), made_view()
    crops = [made_view(sub_crop=True) for _ in range(6)]
    target = torch.rand(2, 1, 4, 4, 4)
    scales = torch.randint(3, (13,), generator=torch.Generator().manual_seed(seed)).tolist()
    assert len(set(scales)) > 1
    terms = PCRLObjective()(first, second, crops, target, 37, torch.Generator().manual_seed(seed))
    assert terms["loss"].item() == pytest.approx(reference(first, second, crops, target, 37, scales), abs=1e-6)


def test_every_scale_is_drawn_and_its_own_image_is_restored():
    target = torch.zeros(2, 1, 4, 4, 4)
    view = made_view()
    view = view._replace(middles=[target + m for m in range(3)])
    generator = torch.Generator().manual_seed(0)
    drawn = [PCRLObjective()(view, made_view(), [], target, 0, generator) for _ in range(60)]
    counts = {m: sum(terms["middle"].item() == m * m for terms in drawn) for m in range(3)}
    assert sum(counts.values()) == 60
    assert min(counts.values()) > 10


def test_weights_leave_terms_out():
    first, second, crops, target = made_view(), made_view(), [made_view(sub_crop=True)], torch.rand(2, 1, 4, 4, 4)
    only = PCRLObjective(weights={"similarity": 0, "sub_crops": 0, "middle": 0})(first, second, crops, target, 0)
    assert only["loss"] == only["restoration"]
    double = PCRLObjective(weights={"restoration": 2.0}, annealing_epochs=10)(first, second, [], target, 5)
    expected = 2 * double["restoration"] + double["similarity"] + 0.5 * double["middle"]
    assert double["loss"].item() == pytest.approx(expected.item())


def test_views_of_one_batch_are_split_view_after_view():
    z, p = torch.arange(6.0)[:, None], -torch.arange(6.0)[:, None]
    views = ViewOutput([(z, p), (z + 10, p)]).split(3)
    assert [view.pairs[0][0].flatten().tolist() for view in views] == [[0, 1], [2, 3], [4, 5]]
    assert views[1].pairs[1][0].flatten().tolist() == [12, 13]
    assert views[2].pairs[0][1].flatten().tolist() == [-4, -5]


def test_similarity_head_is_batch_norm_of_the_mean_and_a_hidden_layer():
    head = SimilarityHead(5).double()
    features = torch.randn(4, 5, 2, 3, 4, dtype=torch.float64)
    z, p = head(features)
    mean = features.numpy().mean(axis=(2, 3, 4))
    normal = (mean - mean.mean(0)) / np.sqrt(mean.var(0) + 1e-5)
    assert np.allclose(z.detach().numpy(), normal)
    state = {name: tensor.numpy() for name, tensor in head.predictor.state_dict().items()}
    hidden = normal @ state["0.weight"].T + state["0.bias"]
    hidden = np.maximum((hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5), 0)
    assert hidden.shape == (4, 10)
    assert np.allclose(p.detach().numpy(), hidden @ state["3.weight"].T + state["3.bias"])


@pytest.mark.parametrize("dims", [2, 3])
def test_middle_head_enlarges_a_sigmoid(dims):
    head = MiddleHead(dims, 3, 2).eval()
    nn.init.zeros_(head.conv.weight)
    nn.init.constant_(head.conv.bias, 2.0)
    image = head(torch.rand(2, 3, *[4] * dims), [8] * dims)
    assert image.shape == (2, 2, *[8] * dims)
    assert torch.allclose(image, torch.sigmoid(torch.tensor(2 / math.sqrt(1 + 1e-5))))
    assert head(torch.rand(2, 3, *[4] * dims), [4] * dims).shape == (2, 2, *[4] * dims)


def test_the_parameters_of_the_published_heads():
    """BN(C), C → 2C → C with BN(2C), 3³ convolution with BN(1), of 256, 128 and 64 channels; 1 × 1 × 1 at the end."""
    per_scale = sum(2 * c + (c * 2 * c + 2 * c) + 4 * c + (2 * c * c + c) + 27 * c + 1 + 2 for c in (256, 128, 64))
    heads = PCRLHeads(3, [256, 128, 64], 1)
    assert sum(parameter.numel() for parameter in heads.parameters()) == per_scale + 64 + 1


def test_a_step_improves_every_term():
    """Heads and a small decoder, trained on two batches of views; sub-crops go through as one batch."""

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Conv3d(1, 8, 3, stride=2, padding=1)
            self.up = nn.ConvTranspose3d(8, 4, 2, stride=2)

        def forward(self, image):
            coarse = torch.relu(self.down(image))
            return [coarse, torch.relu(self.up(coarse))]

    torch.manual_seed(0)
    decoder, heads, objective = Decoder(), PCRLHeads(3, [8, 4], 1), PCRLObjective()
    optimiser = torch.optim.Adam([*decoder.parameters(), *heads.parameters()], 1e-2)
    target = torch.rand(4, 1, 2, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    crops = target[:, :, :4, :4, :4].repeat(2, 1, 1, 1, 1)
    history = []
    for _ in range(40):
        first, second = heads(decoder(target + 0.05 * torch.randn(target.shape))), heads(decoder(target))
        local = heads(decoder(crops), sub_crops=True).split(2)
        terms = objective(first, second, local, target, epoch=0)
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        history.append({name: value.item() for name, value in terms.items()})
    missing = [name for name, parameter in heads.named_parameters() if parameter.grad is None]
    assert all(name.startswith(("similarity", "middle")) for name in missing)  # scales that the last step did not draw
    for name in ("restoration", "similarity", "sub_crops", "middle"):
        assert np.mean([terms[name] for terms in history[-8:]]) < np.mean([terms[name] for terms in history[:8]]), name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: SimilarityHead(4)(torch.rand(1, 4, 2, 2, 2)),
            r"takes 2 views or more at once, got 1\. Raise the batch size",
        ),
        (
            lambda: similarity((torch.rand(2, 4), torch.rand(2, 4)), (torch.rand(3, 4), torch.rand(3, 4))),
            r"case by case .* \(2, 4\), \(2, 4\), \(3, 4\), \(3, 4\)\. Compare the same cases",
        ),
        (lambda: annealing(-1), r"epoch of 0 or more out of more than 0, got -1 of 240"),
        (lambda: PCRLObjective(annealing_epochs=0), r"got 0 of 0"),
        (lambda: PCRLObjective(weights={"restauration": 1}), r"`weights` must be one of .* Did you mean 'restoration'"),
        (lambda: PCRLObjective(weights={"middle": -1}), r"weight of a term is 0 or more, got middle: -1"),
        (
            lambda: PCRLObjective()(made_view(), made_view(), [], torch.rand(2, 1, 8, 8, 8), 0),
            r"one shape, got \(2, 1, 4, 4, 4\) and \(2, 1, 8, 8, 8\)",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(CrossDError, match=message):
        call()

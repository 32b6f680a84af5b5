"""Running statistics of the batches that an encoder is handed over with."""

from __future__ import annotations

import torch
from crossd.ssl import build_encoder, state_with_statistics
from crossd.ssl.progress import BATCHES, KeptTargets

OPTIONS = {"depth": 10, "width": 2, "no_max_pool": True, "conv1_t_size": 3}


def test_they_are_those_of_the_batches_and_the_encoder_stays_as_it_is():
    encoder = build_encoder("crossd", 1, OPTIONS)
    encoder(5 * torch.rand(2, 1, 8, 8, 8))  # as pre-training left them
    before = {name: value.clone() for name, value in encoder.net.state_dict().items()}
    batches = [torch.randn(3, 1, 8, 8, 8) + shift for shift in (0, 2)]
    state = state_with_statistics(encoder, batches)
    assert all(torch.equal(value, before[name]) for name, value in encoder.net.state_dict().items())
    assert encoder.net.bn1.momentum == 0.1
    with torch.no_grad():
        seen = [encoder.net.conv1(batch) for batch in batches]
    mean = torch.stack([values.mean((0, 2, 3, 4)) for values in seen]).mean(0)
    variance = torch.stack([values.transpose(0, 1).flatten(1).var(1) for values in seen]).mean(0)
    torch.testing.assert_close(state["bn1.running_mean"], mean)
    torch.testing.assert_close(state["bn1.running_var"], variance)
    weights = [name for name in state if not name.split(".")[-1].startswith(("running_", "num_batches"))]
    assert all(torch.equal(state[name], before[name]) for name in weights)


def test_an_encoder_without_batch_norms():
    encoder = build_encoder("segresnet", 1, {"width": 8})
    state = state_with_statistics(encoder, [torch.rand(1, 1, 16, 16, 16)])
    assert all(torch.equal(value, state[name]) for name, value in encoder.net.state_dict().items())


def test_volumes_are_kept_and_images_where_there_are_none():
    kept = KeptTargets()
    kept.add(torch.zeros(3, 1), torch.tensor([0, 0, 0]))
    assert [len(batch) for batch in kept.batches()] == [3]
    kept.add(torch.zeros(2, 1), torch.tensor([0, 1]))
    assert kept.batches() == []  # batch norms need two
    for number in range(BATCHES + 3):
        kept.add(torch.full((2, 1), float(number)), torch.tensor([0, 1]))
    assert torch.cat(kept.batches()).flatten().tolist() == [float(number) for number in range(3, BATCHES + 3)]
    assert {len(batch) for batch in kept.batches()} == {2}
    kept.clear()
    assert kept.batches() == []


def test_without_batches_they_stay():
    encoder = build_encoder("crossd", 1, OPTIONS)
    encoder(5 * torch.rand(2, 1, 8, 8, 8))
    assert torch.equal(state_with_statistics(encoder, [])["bn1.running_mean"], encoder.net.bn1.running_mean)

"""Kept memory: what lies in it is gone at the next call, so nothing that leaves a pass may."""

from __future__ import annotations

import threading

import torch
from crossd import CrossDConv
from crossd.conv import scratch as module
from crossd.conv.scratch import scratch


def test_a_name_keeps_its_memory_and_grows_it():
    like = torch.zeros(1)
    first = scratch("growing", (4, 4), like)
    assert scratch("growing", (3, 2), like).data_ptr() == first.data_ptr()
    assert scratch("other", (4, 4), like).data_ptr() != first.data_ptr()
    assert scratch("growing", (4, 4), like.double()).dtype == torch.float64
    assert scratch("growing", (100, 100), like).shape == (100, 100)


def test_large_memory_is_not_kept(monkeypatch):
    monkeypatch.setattr(module, "KEPT_BYTES", 64)
    first = scratch("large", (100,), torch.zeros(1))
    assert scratch("large", (100,), torch.zeros(1)).data_ptr() != first.data_ptr()


def test_each_thread_has_its_own():
    here, there = scratch("shared", (8,), torch.zeros(1)), []
    thread = threading.Thread(target=lambda: there.append(scratch("shared", (8,), torch.zeros(1))))
    thread.start()
    thread.join()
    assert there[0].data_ptr() != here.data_ptr()


def test_layers_that_share_it_do_not_disturb_each_other():
    layers = [CrossDConv(2, 192, 192, 3, padding=1) for _ in range(2)]
    x = torch.randn(3, 192, 4, 4)
    with torch.inference_mode():  # memory made here must serve training too
        first = layers[0](x)
        kept = first.clone()
        layers[1](x)
    torch.testing.assert_close(first, kept, atol=0, rtol=0)
    answer = layers[1](layers[0](x))
    answer.square().sum().backward()
    plain = [layer.weight.grad.clone() for layer in layers]
    for layer in layers:
        layer.zero_grad()
    module._kept.buffers.clear()
    torch.testing.assert_close(layers[1](layers[0](x)), answer, atol=0, rtol=0)
    layers[1](layers[0](x)).square().sum().backward()
    torch.testing.assert_close([layer.weight.grad for layer in layers], plain, atol=1e-3, rtol=1e-3)

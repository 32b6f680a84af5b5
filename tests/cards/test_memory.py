"""A card that asks for more memory than there is is refused before any of it is taken."""

from __future__ import annotations

import copy
import resource
import time
from typing import Any

import numpy as np
import pytest
import torch
from crossd.cards.memory import built, machine_memory
from crossd.cards.rules import check_card
from crossd.data import preprocessing
from crossd.errors import CrossDError
from crossd.inference import inferer_from_card, network_from_card
from crossd.report.model_facts import model_facts
from crossd.segmentation import segmentation_network
from torch import nn

CARD: dict[str, Any] = {
    "format": 1,
    "task": "multiclass",
    "class_names": ["well", "ill"],
    "negative_class": 0,
    "network": {"spatial_dims": 3, "in_channels": 1, "num_classes": 2, "depth": 10, "width": 4, "motion": "rotate"}
    | {"view": "slice", "conv1_t_size": 7, "conv1_t_stride": 2, "no_max_pool": False},
    "input": {"channels": ["ct"], "plane": "axial", "spacing": [1.0, 1.0, 1.0], "roi_size": [16, 16, 16]}
    | {"intensity": {"mode": "window", "lower": -100, "upper": 300}, "mean": 0.5, "std": 0.25},
    "data": "made",
    "metrics": {"val_auc": 0.9},
    "finding_codes": {"ill": ["39104002", "SCT", "Illness"]},
}


def changed(part: str, **entries: Any) -> dict[str, Any]:
    return {**CARD, part: {**CARD[part], **entries}}


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (changed("input", roi_size=[100_000] * 3), r"its window takes 6000000 GB, .*roi_size is \[100000, 100000"),
        (changed("input", roi_size=[10**30] * 3), "its window takes"),
        (changed("network", width=10**6), r"its weights take \d+ GB, this machine has \d+ GB: network is .*1000000"),
        (changed("network", width=10**18), "its weights take more than"),
        (changed("network", conv1_t_size=20_001), "its weights take"),
    ],
)
def test_what_does_not_fit_is_refused_before_memory_is_taken(card: dict[str, Any], message: str) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(CrossDError, match=f"card's network and window must fit into memory; {message}"):
        network_from_card(check_card(card))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # kB
    assert time.process_time() - began < 20


def test_so_is_a_network_that_segments() -> None:
    card = {**CARD, "task": "segmentation", "label_values": [0, 1]}
    card["network"] = {"name": "SegResNet", "in_channels": 1, "out_channels": 2, "init_filters": 800_000}
    with pytest.raises(CrossDError, match=r"its weights take .*init_filters.*Correct the card, or use a machine with"):
        segmentation_network(check_card(card))


def test_the_network_is_the_same_whether_it_was_weighed_first() -> None:
    """Nothing is drawn from the random numbers of the run."""
    made = []
    for numbers in ({"width": 100}, {"width": 4}):
        torch.manual_seed(3)
        made.append(built(lambda: nn.Linear(3, 3), {"network": numbers}).weight)
    torch.testing.assert_close(made[0], made[1], rtol=0, atol=0)
    assert machine_memory() > 2**28


WRONG = [None, True, 0, -1, 1, 3, 2.5, 1e39, 10**400, float("nan"), float("inf"), "", "text", b"x", [], [None], [[]]]
WRONG += [[1, 2, 3], ["a"], {}, {"a": 1}, {"a": "b"}, {1: 2}, (), object(), torch.ones(2), np.ones(2), 10**5000]


@pytest.mark.slow
def test_whatever_stands_in_a_card_is_used_or_refused_in_words() -> None:
    """Every sentence of it, of every wrong type: nothing but `CrossDError` comes of the card or of what reads it."""
    paths = [*CARD, *(f"{part}.{name}" for part in ("network", "input", "metrics") for name in CARD[part])]
    paths += [f"input.intensity.{name}" for name in ("mode", "lower", "upper")]
    paths += ["network.conv", "network.alignment", "network.momentum", "network.max_angle", "network.unknown"]
    paths += ["finding_codes.ill", "encoder", "intended_use", "pseudo_3d", "input.pseudo_3d", "crossd_version"]
    refused = 0
    for path in paths:
        for value in WRONG:
            card = copy.deepcopy(CARD)
            *parents, last = path.split(".")
            entry = card
            for parent in parents:
                entry = entry[parent]
            entry[last] = value
            try:
                check_card(card)
                model_facts(card)
                inferer_from_card(card)
                preprocessing(card["input"])
                if path.startswith("network"):
                    network_from_card(card)
            except CrossDError:
                refused += 1
    assert refused > 20 * len(paths)

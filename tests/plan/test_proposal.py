"""Laws of a proposal: a window holds the volumes within its voxels, and every value follows from the cases."""

from __future__ import annotations

import numpy as np
import pytest
from crossd.errors import CrossDError
from crossd.plan import CaseFacts, copies, misfits, propose, troubles
from crossd.plan.proposal import STEP, coarsened
from crossd.training import model_card


def scan(name="a", shape=(40, 256, 256), spacing=(5.0, 0.9, 0.9), **known):
    return CaseFacts(name, None, shape, spacing, **{"values": (0.0, 10.0, 900.0), **known})


def proposed(facts, voxels=64**3, **known):
    return {setting.name: setting.value for setting in propose(facts, voxels, **known)}


@pytest.mark.parametrize("voxels", [16**3, 64**3, 128**3])
@pytest.mark.parametrize("shape", [(1, 512, 512), (40, 256, 256), (28, 28, 28), (300, 512, 512)])
def test_a_window_holds_the_volume_within_its_voxels(shape, voxels):
    plan = proposed([scan(shape=shape, spacing=(2.0, 0.5, 0.5))], voxels)
    field = np.multiply(plan["roi_size"], plan["spacing"])
    assert (field >= np.multiply(shape, (2.0, 0.5, 0.5)) * 0.97 - 1e-9).all()
    rounding = np.prod([size / (size - STEP + 1) for size in plan["roi_size"]])
    assert np.prod(plan["roi_size"]) <= voxels * rounding
    assert (np.array(plan["spacing"]) >= (2.0, 0.5, 0.5)).all()  # never finer than the scans


def test_thick_slices_stay_until_the_others_are_as_thick():
    assert coarsened(np.array([5.0, 1.0, 1.0]), np.array([100.0, 200.0, 200.0]), 10**9).tolist() == [5.0, 1.0, 1.0]
    once = coarsened(np.array([5.0, 1.0, 1.0]), np.array([100.0, 200.0, 200.0]), 20 * 50 * 50)
    np.testing.assert_allclose(once, [5.0, 4.0, 4.0], rtol=1e-6)
    both = coarsened(np.array([5.0, 1.0, 1.0]), np.array([100.0, 200.0, 200.0]), 500)
    assert np.ptp(both) == 0


def test_sagittal_series_are_seen_in_their_plane():
    plan = proposed([scan(shape=(256, 256, 20), spacing=(0.9, 0.9, 5.0))] * 2)
    assert plan["plane"] == "sagittal"
    assert plan["spacing"][0] == 5.0
    assert plan["roi_size"][0] == 20


@pytest.mark.parametrize(
    ("known", "intensity"),
    [
        (
            {"modality": "CT", "values": (-1024.0, 30.0, 1203.0)},
            {"mode": "window", "lower": -1000.0, "upper": 1210.0},
        ),
        ({"modality": "MR"}, {"mode": "percentile", "lower": 0.5, "upper": 99.5}),
        ({"modality": "mask", "values": (0.0, 0.0, 1.0)}, {"mode": "range"}),
    ],
)
def test_intensities_follow_the_modality(known, intensity):
    plan = proposed([scan(**known)])
    assert plan["intensity"] == intensity
    card = {"channels": ["image"], "mean": 0.0, "std": 1.0, **{k: plan[k] for k in ("plane", "spacing", "roi_size")}}
    model_card("multiclass", ["a", "b"], {"width": 8}, {**card, "intensity": intensity})  # a card may say so


def test_training_follows_the_number_of_cases():
    few, many = (proposed([scan()], training=number, weights="efficientnet-lite0") for number in (20, 5000))
    assert (few["trainable"], "trainable" in many) == ("norms", False)
    assert few["epochs"] > many["epochs"] == 20
    assert proposed([scan()], training=3)["batch_size"] == 3
    assert "epochs" not in proposed([scan()])


def test_sides_are_not_mirrored():
    assert proposed([scan()], classes=["Left", "right"])["flip_axes"] == []
    assert "flip_axes" not in proposed([scan()], classes=["well", "ill"])


def test_nothing_to_plan_for():
    with pytest.raises(CrossDError, match=r"A plan needs a case that can be read, got none of 1\. Repair them\."):
        propose([CaseFacts("a", error="damaged")], 64**3)


def test_a_card_that_fits_is_left_alone():
    settings = propose([scan(shape=(64, 64, 64), spacing=(1.0, 1.0, 1.0))], 64**3)
    own = {"spacing": [1.0, 1.0, 1.0], "roi_size": [64, 64, 64], "intensity": {"mode": "percentile"}}
    assert misfits(own, settings) == []
    assert misfits({**own, "spacing": None}, settings) == []
    assert misfits({**own, "roi_size": [256, 256, 256]}, settings) == ["a volume fills 2 % of its window"]
    assert misfits({**own, "intensity": {"mode": "window"}}, settings) == [
        "its intensities are scaled by window, not by percentile"
    ]


def test_what_a_person_should_look_at():
    facts = [scan("a", digest="1"), scan("b", digest="1"), CaseFacts("c", error="empty"), scan("d", modality="CT")]
    splits = {"a": "train", "b": "test", "c": "train", "d": "val"}
    cases = [{"case": name, "split": split, "label": 0} for name, split in splits.items()]
    said = troubles(facts, cases)
    assert said[0] == "c cannot be read: empty"
    assert said[1] == "a, b have equal voxels; they are in test and train: the test would be of cases seen in training"
    assert said[2] == "the cases are of several modalities: 2 unknown, 1 CT"
    assert copies(facts) == [["a", "b"]]

"""Which cases make a batch: passes, mixes, processes and resuming, all from the seed."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from crossd import CrossDError
from crossd.ssl import GlobalAndSubCropsd, JointBatches, JointDataset
from crossd.ssl.joint import Draw
from monai.data import DataLoader


def steps(count, **options):
    batches = JointBatches({"images": 10, "volumes": 4}, **{"batch_size": 3, "seed": 5, **options})
    return [batches.batch(step) for step in range(count)]


def test_every_pass_holds_every_case_once_and_passes_differ():
    draws = [draw for batch in steps(80) for draw in batch]
    for kind, count in (("images", 10), ("volumes", 4)):
        indices = [draw.item for draw in draws if draw.kind == kind]
        assert len(indices) == 120
        passes = [tuple(indices[start : start + count]) for start in range(0, len(indices), count)]
        assert all(sorted(one) == list(range(count)) for one in passes)
        assert len(set(passes)) > 1
        assert [draw.number for draw in draws if draw.kind == kind] == list(range(120))


def test_alternating_and_mixed():
    assert [{draw.kind for draw in batch} for batch in steps(4)] == [{"images"}, {"volumes"}] * 2
    for batch in steps(4, mix="mixed", batch_size=5):
        assert Counter(draw.kind for draw in batch) == {"images": 2, "volumes": 3}
    for kind in ("images", "volumes"):
        alone = JointBatches({kind: 4}, 2, "mixed")
        assert {draw.kind for draw in alone.batch(0) + alone.batch(1)} == {kind}


@pytest.mark.parametrize(
    ("counts", "options", "expected"),
    [
        ({"images": 10, "volumes": 4}, {}, 10),  # 5 of each kind show all images
        ({"images": 4, "volumes": 11}, {}, 12),
        ({"images": 10, "volumes": 4}, {"mix": "mixed"}, 10),
        ({"images": 10, "volumes": None}, {}, 5),
        ({"volumes": 4}, {"world_size": 2}, 1),
        ({"images": 10, "volumes": 4}, {"steps": 7}, 7),
    ],
)
def test_an_epoch_is_as_long_as_the_larger_set_needs(counts, options, expected):
    batches = JointBatches(counts, 2, **options)
    assert len(batches) == len(list(batches)) == expected


@pytest.mark.parametrize("mix", ["alternating", "mixed"])
def test_processes_share_out_the_batches_of_one(mix):
    alone = steps(6, mix=mix, batch_size=4)
    parts = [steps(6, mix=mix, batch_size=2, world_size=2, rank=rank) for rank in (0, 1)]
    for together, *shares in zip(alone, *parts, strict=True):
        assert sorted([*shares[0], *shares[1]]) == sorted(together)
        assert not set(shares[0]) & set(shares[1])


def test_epochs_go_on_where_the_last_one_ended():
    batches = JointBatches({"images": 5, "volumes": 3}, 2, steps=3, seed=1)
    seen = []
    for epoch in (1, 2, 3):
        batches.set_epoch(epoch)
        seen += list(batches)
    assert seen == [batches.batch(step) for step in range(9)]
    assert [batch[0].kind for batch in seen[:4]] == ["images", "volumes", "images", "volumes"]  # 3 steps an epoch


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({"images": 0, "volumes": 3}, 2), "got no images. Give some, or leave that side out: --images none"),
        (({}, 2), "got no images and no volumes"),
        (({"images": 3}, 1), "A batch has 2 cases or more, got batch_size 1"),
        (({"images": 3}, 2, "both"), "`mix` must be one of 'alternating', 'mixed'; got 'both'"),
        (({"images": 3}, 2, "mixed", 0), "steps_per_epoch must be a whole number, 1 or more, or null, got 0"),
        (({"pictures": 3}, 2), "`kind` must be one of 'images', 'volumes'"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(CrossDError, match=message):
        JointBatches(*arguments)


@pytest.fixture
def dataset():
    sizes = {"roi_size": (8,) * 3, "sub_roi_size": (4,) * 3, "crop_sizes": [(8,) * 3], "sub_crop_sizes": [(4,) * 3]}
    sides = {
        kind: SimpleNamespace(
            cases=[{"image": torch.rand(1, 12, 12, 12), "case": f"{kind} {n}"} for n in range(count)],
            views=GlobalAndSubCropsd("image", **sizes, sub_crops=1),
        )
        for kind, count in (("images", 3), ("volumes", 2))
    }
    return JointDataset(sides, seed=2)


def test_views_follow_from_the_draw_alone(dataset):
    draw = Draw("volumes", 1, 7)
    first = dataset[draw]
    _ = dataset[Draw("images", 0, 0)]
    again = dataset[draw]
    assert all(torch.equal(first[name], again[name]) for name in ("view_1", "view_2", "target", "sub_crops"))
    later = dataset[Draw("volumes", 1, 9)]  # the same case, later in the epoch
    assert not torch.equal(first["view_1"], later["view_1"])
    assert (first["case"], first["kind"]) == ("volumes 1", 1)
    assert len(dataset) == 5


def test_batches_of_a_loader_with_workers_are_those_without(dataset):
    def batches(workers):
        sampler = JointBatches({"images": 3, "volumes": 2}, 2, "mixed", steps=2)
        return list(DataLoader(dataset, batch_sampler=sampler, num_workers=workers))

    alone, shared = batches(0), batches(2)
    for one, other in zip(alone, shared, strict=True):
        assert one["case"] == other["case"]
        assert torch.equal(one["view_2"], other["view_2"])
        assert one["kind"].tolist() == [0, 1]

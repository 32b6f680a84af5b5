"""What is computed once is not computed again, and is the same whichever way it came."""

from __future__ import annotations

import logging

import nibabel
import numpy as np
import pytest
import torch
from crossd.data import find_cases, preprocessing
from crossd.probe.features import FrozenFeatures, Seen
from crossd.probe.frozen import frozen_network, usual_spacing

from .conftest import TINY

READING = {"series": None, "tilt": "correct", "volume": None}


@pytest.fixture
def features(volumes, tmp_path):
    """The cases, and what reads them, with options of `FrozenFeatures` and the network's arguments."""
    cases = find_cases(volumes)[:10]

    def make(options=TINY, **given):
        torch.manual_seed(1)
        frozen = frozen_network("none", ".", cases, {}, READING, options=options)
        given = {"cache_dir": str(tmp_path / "kept"), **given}
        return FrozenFeatures(frozen, READING, **given), frozen

    return cases, make


def same(one: Seen, other: Seen) -> bool:
    return all(torch.equal(rows, other.views[name]) for name, rows in one.views.items()) and all(
        torch.equal(rows, other.trivial[name]) for name, rows in one.trivial.items()
    )


def test_features_are_kept_and_gone_on_with(features, tmp_path, caplog):
    caplog.set_level(logging.INFO, "crossd.probe")
    cases, make = features
    first, failed = make()[0].of(cases)
    assert failed == {}
    entries = sorted((tmp_path / "kept").glob("*.pt"))
    assert len(entries) == 10
    assert "already" not in caplog.text
    entries[0].unlink()
    entries[1].write_bytes(b"damaged")
    again, _ = make()[0].of(cases)
    assert "features of 8 cases are there already" in caplog.text
    assert all(map(same, first, again))
    assert {*again[0].figures} >= {"spacing", "extent", "intensities"}
    other, _ = make({**TINY, "image_size": 12})[0].of(cases)
    assert not same(first[0], other[0]), "another network has features of its own"
    assert len([*(tmp_path / "kept").glob("*.pt")]) == 20


def test_random_predictors_that_nothing_asks_are_no_part_of_the_key(features, tmp_path):
    """2D weights of others bring none, so they differ from process to process."""
    cases, make = features
    read, frozen = make()
    for name, value in frozen.network.named_parameters():
        if ".predictor." in name:
            value.data.normal_()
    again = FrozenFeatures(frozen, READING, str(tmp_path / "kept"))
    assert again._entry(cases[0]) == read._entry(cases[0])


def test_they_are_those_of_the_network_however_many_at_once(features):
    cases, make = features
    read, frozen = make(cache_dir=None, batch_size=4)
    found, _ = read.of(cases)
    alone, _ = make(cache_dir=None, batch_size=1)[0].of(cases[:3])
    volume = preprocessing(frozen.input, **READING)({"image": cases[0]["image"]})["image"]
    with torch.no_grad():
        expected = frozen.network.view_features(volume.as_tensor()[None])
        _, joined = frozen.network.with_features(volume.as_tensor()[None])
    for name, rows in expected.items():
        torch.testing.assert_close(found[0].views[name], rows[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(alone[2].views[name], found[2].views[name], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[0].normalised(frozen.network.views), joined[0], atol=1e-5, rtol=1e-4)


def test_a_case_that_cannot_be_read_ends_nothing(features, tmp_path):
    cases, make = features
    (tmp_path / "broken.nii").write_bytes(b"nothing")
    listed = [cases[0], {"case": "broken", "source": "b", "image": [str(tmp_path / "broken.nii")]}, cases[1]]
    found, failed = make()[0].of(listed)
    assert [one is None for one in found] == [False, True, False]
    assert [*failed] == [1]


def test_the_usual_spacing_is_the_median_of_those_that_have_one(volumes):
    card_input = {"channels": ["image"], "plane": "axial", "intensity": {"mode": "range"}, "mean": 0.0, "std": 1.0}
    assert usual_spacing(find_cases(volumes), card_input, READING) == [1.5, 1.0, 1.0]


def test_thick_slices_a_single_slice_and_several_channels(tmp_path):
    """Slices 10 mm apart are seen as acquired; a volume may be one slice; channels may have other grids."""
    rng, cases = np.random.default_rng(0), []
    for case in range(3):
        files = []
        for channel, size in ((1, 16), (2, 8)):
            shape = (size, size, 1 if case == 1 else 4)
            affine = np.diag([24 / size, 24 / size, 10, 1])
            files.append(str(tmp_path / f"{case}_{channel}.nii"))
            nibabel.save(nibabel.Nifti1Image(rng.normal(100, 20, shape).astype(np.float32), affine), files[-1])
        cases.append({"case": str(case), "source": files[0], "image": files})
    frozen = frozen_network("none", ".", cases, {}, READING, options=TINY)
    assert frozen.input["spacing"] == [10.0, 1.5, 1.5]
    assert frozen.input["channels"] == ["image_1", "image_2"]
    assert frozen.network.axes == [0]
    found, failed = FrozenFeatures(frozen, READING).of(cases)
    assert failed == {}
    for one in found:
        assert {name: len(row) for name, row in one.views.items()} == frozen.network.pooling.feature_widths
        assert all(row.isfinite().all() for row in (*one.views.values(), *one.trivial.values()))

"""A phantom is one connected vessel; the bulge only adds to it; both look like VesselMNIST3D in size and radius."""

from __future__ import annotations

import numpy as np
import pytest
from crossd.data.phantoms import vessel_phantom
from crossd.errors import CrossDError

SEEDS = range(12)


@pytest.fixture(scope="module")
def pairs():
    return [(vessel_phantom(seed, aneurysm=False), vessel_phantom(seed, aneurysm=True)) for seed in SEEDS]


def largest_radius(volume):
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(volume > 0).max()


def test_one_connected_solid_of_0_and_255(pairs):
    from scipy.ndimage import label

    for volume in (volume for pair in pairs for volume in pair):
        assert volume.shape == (64, 64, 64)
        assert volume.dtype == np.uint8
        assert set(np.unique(volume)) == {0, 255}
        assert label(volume, np.ones((3, 3, 3)))[1] == 1


def test_the_bulge_only_adds_voxels(pairs):
    for healthy, bulging in pairs:
        assert (bulging >= healthy).all()
        assert np.count_nonzero(bulging) > np.count_nonzero(healthy)


# VesselMNIST3D 64³, training split: quartiles of the voxel count, and the median of the largest inscribed radius of
# 150 cases a class; radii are those of scipy's distance_transform_edt
@pytest.mark.parametrize(
    ("aneurysm", "quartiles", "radius"),
    [(False, (2805, 7901), 4.1), (True, (5220, 8858), 5.7)],
    ids=["healthy", "bulge"],
)
def test_sizes_are_those_of_vesselmnist3d(pairs, aneurysm, quartiles, radius):
    volumes = [pair[aneurysm] for pair in pairs]
    median = np.median([np.count_nonzero(volume) for volume in volumes])
    assert quartiles[0] <= median <= quartiles[1]
    assert abs(np.median([largest_radius(volume) for volume in volumes]) - radius) <= 0.5 + 0.1 * radius


def test_the_real_set_has_the_figures_quoted_above(shared_data):
    from crossd.data.npz_arrays import medmnist_split

    counts = {0: [], 1: []}
    volumes, labels = medmnist_split(shared_data / "medmnist" / "vesselmnist3d_64.npz", "train", 3)
    for volume, label in zip(volumes.rows(), labels.reshape(-1).tolist(), strict=True):
        counts[label].append(np.count_nonzero(volume))
    assert np.percentile(counts[0], [25, 75]).round().tolist() == [2805, 7901]
    assert np.percentile(counts[1], [25, 75]).round().tolist() == [5220, 8858]


def test_a_seed_gives_the_same_volume_and_another_seed_another():
    first, again, other = (vessel_phantom(seed, aneurysm=True, size=28) for seed in (3, 3, 4))
    assert first.shape == (28, 28, 28)
    assert (first == again).all()
    assert (first != other).any()


def test_bad_arguments_are_refused():
    with pytest.raises(CrossDError, match=r"at least 16 voxels a side, got size=8\. Use 28 or 64"):
        vessel_phantom(0, aneurysm=False, size=8)
    with pytest.raises(CrossDError, match="A seed is 0 or greater, got -1"):
        vessel_phantom(-1, aneurysm=False)

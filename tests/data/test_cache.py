"""Laws: with a cache the same bits come out; it hits on equal content, misses on any change, and no damage passes."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from crossd.data import find_cases, preprocessing, write_dicom_series
from crossd.data import reading as reading_module
from crossd.data.cache import VolumeCache
from crossd.data.content import content_key
from crossd.errors import CrossDError
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, Invertd, RandFlipd

CARD = {
    **{"channels": ["image"], "plane": "axial", "spacing": [1.0, 1.0, 1.0], "mean": 0.4, "std": 0.2},
    "intensity": {"mode": "percentile", "lower": 1, "upper": 99},
}


@pytest.fixture
def reads(monkeypatch):
    """Every source that is decoded, in this process."""
    found = []
    read = reading_module.read_volume

    def counted(source, *rest):
        found.append(source)
        return read(source, *rest)

    monkeypatch.setattr(reading_module, "read_volume", counted)
    return found


@pytest.fixture
def scan(tmp_path, volume, axial):
    nib.save(nib.Nifti1Image(volume, axial), tmp_path / "scan.nii.gz")
    return str(tmp_path / "scan.nii.gz")


def chain(tmp_path, **changes):
    options = {name: changes.pop(name) for name in ("volume", "tilt", "cache_dir_gb") if name in changes}
    return preprocessing({**CARD, **changes}, cache_dir=str(tmp_path / "cache"), **options)


def entries(tmp_path):
    return sorted((tmp_path / "cache").glob("*.pt"))


def same(one, other):
    assert torch.equal(one.as_tensor(), other.as_tensor())
    assert one.meta.keys() == other.meta.keys()
    for key, value in one.meta.items():
        assert type(value) is type(other.meta[key]), key
        np.testing.assert_array_equal(value, other.meta[key])
    assert len(one.applied_operations) == len(other.applied_operations)


def test_the_same_bits_and_metadata_and_one_decoding(tmp_path, scan, volume, axial, reads):
    write_dicom_series(tmp_path / "s", volume, axial)
    items = [case for case in find_cases(tmp_path) if not case["error"]]
    plain = [preprocessing(CARD)({"image": item["image"]})["image"] for item in items]
    assert len(items) == len(reads) == 2
    for turn in range(3):
        again = chain(tmp_path)  # as a second run makes it anew
        for item, expected in zip(items, plain, strict=True):
            same(again({"image": item["image"], "label": 1})["image"], expected)
        assert len(reads) == 4, turn
    assert len(entries(tmp_path)) == 2


def test_the_inverse_takes_kept_volumes_back(tmp_path, scan, volume):
    for _ in range(2):
        transform = chain(tmp_path, spacing=None, intensity={"mode": "range"}, mean=0.0, std=1.0)
        item = transform({"image": [scan]})
        back = Invertd("image", transform, nearest_interp=False)({"image": item["image"]})["image"]
        assert back.shape[1:] == volume.shape
        expected = (volume - volume.min()) / (volume.max() - volume.min())
        np.testing.assert_allclose(back[0], expected, atol=1e-6)


def test_content_decides_not_name_nor_date(tmp_path, scan, reads):
    transform = chain(tmp_path)
    transform({"image": scan})
    state = os.stat(scan)
    copy = shutil.copy(scan, tmp_path / "elsewhere.nii.gz")
    assert transform({"image": str(copy)})["image"].meta["filename_or_obj"] == str(copy)
    assert len(reads) == 1
    other = nib.Nifti1Image(nib.load(scan).get_fdata() + 1, nib.load(scan).affine)
    nib.save(other, scan)
    os.utime(scan, ns=(state.st_atime_ns, state.st_mtime_ns))
    transform({"image": scan})
    assert len(reads) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"spacing": [1.0, 1.0, 2.0]},
        {"spacing": None},
        {"plane": "coronal"},
        {"mean": 0.5},
        {"std": 0.25},
        {"intensity": {"mode": "percentile", "lower": 2, "upper": 99}},
        {"volume": 0},
        {"tilt": "refuse"},
    ],
    ids=str,
)
def test_changed_transforms_miss(tmp_path, scan, reads, change):
    chain(tmp_path)({"image": scan})
    changed = chain(tmp_path, **change)({"image": scan})["image"]
    assert len(reads) == 2
    options = {name: change[name] for name in ("volume", "tilt") if name in change}
    card = {**CARD, **{name: value for name, value in change.items() if name not in options}}
    same(changed, preprocessing(card, **options)({"image": scan})["image"])


def test_every_file_of_a_source_is_in_the_key(tmp_path, volume, axial):
    """Voxels beside a header, slices of a series and of a folder, and which volume of a file is meant."""
    import itk

    itk.imwrite(itk.image_from_array(volume.astype(np.int16)), str(tmp_path / "a.mhd"))
    nib.save(nib.Nifti1Pair(volume, axial), tmp_path / "b.hdr")
    files = write_dicom_series(tmp_path / "s", volume, axial)
    (series,) = (item["image"][0] for item in find_cases(tmp_path / "s"))
    sources = [str(tmp_path / "a.mhd"), str(tmp_path / "b.hdr"), str(tmp_path / "b.img"), str(tmp_path / "s"), series]
    before = [content_key({"image": source}, {}) for source in sources]
    for file in (tmp_path / "a.raw", tmp_path / "b.img", files[3]):
        data = bytearray(file.read_bytes())
        data[-5] ^= 1
        file.write_bytes(data)
    after = [content_key({"image": source}, {}) for source in sources]
    assert not set(before) & set(after)
    one, other = (content_key({"image": f"{tmp_path / 'b.hdr'}@{number}"}, {}) for number in (0, 1))
    assert one != other
    assert content_key({"image": [sources[0], sources[1]]}, {}) != content_key({"image": [sources[1], sources[0]]}, {})


def test_errors_are_those_of_reading_and_are_not_kept(tmp_path, scan, reads):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(Path(scan).read_bytes()[:200])
    for number in (1, 2):
        with pytest.raises(RuntimeError) as caught:
            chain(tmp_path)({"image": str(broken)})
        cause = caught.value
        while cause.__cause__ is not None and not isinstance(cause, CrossDError):
            cause = cause.__cause__
        assert "is truncated or damaged" in str(cause)
        assert len(reads) == number
    assert entries(tmp_path) == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "folder"])
def test_a_damaged_entry_is_made_anew(tmp_path, scan, reads, damage):
    expected = chain(tmp_path)({"image": scan})["image"]
    (entry,) = entries(tmp_path)
    data = bytearray(entry.read_bytes())
    if damage == "folder":
        entry.unlink()
        entry.mkdir()
    else:
        middle = data.find(expected.numpy().tobytes()[400:500]) + 50
        data[middle] ^= 64
        kept = {"truncated": bytes(data[: len(data) // 2]), "flipped": bytes(data), "empty": b"", "text": b"none"}
        entry.write_bytes(kept[damage])
    same(chain(tmp_path)({"image": scan})["image"], expected)
    assert len(reads) == 2
    if damage != "folder":
        same(chain(tmp_path)({"image": scan})["image"], expected)
        assert len(reads) == 2


def test_the_bound(tmp_path, volume, axial, reads):
    """What this run has not used goes first; what it has used stays, and what does not fit is not kept."""
    scans = []
    for number in range(4):
        nib.save(nib.Nifti1Image(volume + number, axial), tmp_path / f"{number}.nii")
        scans.append(str(tmp_path / f"{number}.nii"))
    first = chain(tmp_path)
    for scan in scans[:2]:
        first({"image": scan})
    size = max(entry.stat().st_size for entry in entries(tmp_path))
    for entry in entries(tmp_path):
        os.utime(entry, (time.time() - 100, time.time() - 100))
    bounded = chain(tmp_path, cache_dir_gb=2.5 * size / 2**30)
    for scan in scans[1:]:
        bounded({"image": scan})
    assert len(entries(tmp_path)) == 2
    assert len(reads) == 4
    for scan in scans[1:]:  # 1 was used, 2 took the place of 0, 3 found none
        bounded({"image": scan})
    assert reads[4:] == [[scans[3]]] or reads[4:] == [scans[3]]


def test_what_was_just_used_stays_though_its_time_is_that_of_the_last_tick(tmp_path, volume, axial, reads):
    """Times of files come from a coarser clock, so what is used right after the start seems to be older than it."""
    scans = []
    for number in range(3):
        nib.save(nib.Nifti1Image(volume + number, axial), tmp_path / f"{number}.nii")
        scans.append(str(tmp_path / f"{number}.nii"))
    chain(tmp_path)({"image": scans[0]})
    (used,) = entries(tmp_path)
    bounded = chain(tmp_path, cache_dir_gb=1.5 * used.stat().st_size / 2**30)
    started = time.time()
    bounded({"image": scans[0]})
    os.utime(used, (started - 0.02, started - 0.02))
    bounded({"image": scans[1]})
    assert entries(tmp_path) == [used]


def test_parts_that_nobody_finished_are_removed(tmp_path, scan):
    transform = chain(tmp_path)
    old, new = tmp_path / "cache" / ".a.part", tmp_path / "cache" / ".b.part"
    for part in (old, new):
        part.write_bytes(b"half")
    os.utime(old, (0, 0))
    transform({"image": scan})
    assert not old.exists()
    assert new.exists()


def test_a_cache_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CrossDError, match=r"cache_dir must be a folder that can be written, got '.*file' \(.*Choose"):
        VolumeCache(Compose([]), {}, str(tmp_path / "file"), 1)
    with pytest.raises(CrossDError, match=r"cache_dir_gb must be positive, got 0. For no cache leave cache_dir null"):
        VolumeCache(Compose([]), {}, str(tmp_path / "cache"), 0)


def test_a_second_epoch_does_not_decode(tmp_path, scan, reads):
    """Random transforms after it see the same volumes, in memory or not, in this process or a worker."""
    items = [{"image": [scan], "label": 0}]
    transform = Compose([*chain(tmp_path).transforms, RandFlipd("image", prob=1.0, spatial_axis=0)])
    plain = Compose([*preprocessing(CARD).transforms, RandFlipd("image", prob=1.0, spatial_axis=0)])
    expected = plain(items[0])["image"]
    del reads[:]
    for rate in (0.0, 1.0):
        for workers in (0, 1):
            dataset = CacheDataset(items, transform, cache_rate=rate, progress=False)
            for _ in range(2):
                (batch,) = DataLoader(dataset, batch_size=1, num_workers=workers)
                assert torch.equal(batch["image"][0].as_tensor(), expected.as_tensor())
    assert len(reads) == 1


class Turns:
    """Four times the sum of each of six scans, by a chain of its own each time."""

    def __init__(self, folder):
        self.folder = folder

    def __len__(self):
        return 24

    def __getitem__(self, index):
        return float(chain(self.folder)({"image": f"{self.folder}/{index % 6}.nii.gz"})["image"].sum())


def test_two_processes_share_it(tmp_path, volume, axial):
    for number in range(6):
        nib.save(nib.Nifti1Image(volume * (number + 1), axial), tmp_path / f"{number}.nii.gz")
    loader = torch.utils.data.DataLoader(Turns(tmp_path), batch_size=None, num_workers=2)
    sums = [float(total) for total in loader]
    assert sums == sums[:6] * 4
    assert len(entries(tmp_path)) == 6
    assert not list((tmp_path / "cache").glob("*.part"))

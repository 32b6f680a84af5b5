"""The pseudo-3D transformation in MONAI pipelines: metadata, inverse, laziness, batches."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from crossd import CrossDError, Pseudo3D, Pseudo3Dd, pseudo_3d
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch, set_track_meta
from monai.transforms import Compose, Flip, Invertd, LoadImaged, RandFlipd, Resize, Zoom
from PIL import Image


def made_image(seed: int = 0, size: tuple[int, int] = (20, 30)) -> MetaTensor:
    affine = torch.tensor([[0.0, -0.5, 0, 7], [2, 0, 0, -3], [0, 0, 4, 1], [0, 0, 0, 1]], dtype=torch.float64)
    pixels = torch.rand(2, *size, generator=torch.Generator().manual_seed(seed))
    return MetaTensor(pixels, affine=affine, meta={"filename_or_obj": f"{seed}.png"})


def test_equals_the_function_and_keeps_the_metadata():
    image = made_image()
    volume = Pseudo3D(4, 2, 1)(image)
    assert torch.equal(volume.as_tensor(), pseudo_3d(image, 4, 2, 1))
    assert volume.meta["filename_or_obj"] == "0.png"
    assert volume.spatial_ndim == 3
    assert image.applied_operations == []
    assert torch.equal(image.affine, made_image().affine)


@pytest.mark.parametrize("depth_axis", [0, -1])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_affine_leads_to_the_middle_of_the_window(depth_axis, dimensions):
    image = made_image()
    if dimensions == 2:
        image = MetaTensor(image.as_tensor(), affine=torch.tensor([[0.0, -0.5, 7], [2, 0, -3], [0, 0, 1]]))
    volume = Pseudo3D(4, 3, 1, depth_axis)(image)
    i, j = 2, 5
    index = [0, i, j, 1] if depth_axis == 0 else [i, j, 0, 1]
    middle = [i * 3 - 1 + 1.5, j * 3 - 1 + 1.5]  # rows i·s − p … i·s − p + k − 1
    x, y, *_ = volume.affine.numpy() @ index
    assert (x, y) == (-0.5 * middle[1] + 7, 2 * middle[0] - 3)
    assert np.linalg.matrix_rank(volume.affine) == 4


@pytest.mark.parametrize(("windows", "size"), [((4, 2, 1), (20, 30)), ((3, 2, 0), (20, 31)), ((2, 5, 0), (20, 30))])
@pytest.mark.parametrize("depth_axis", [0, -1])
def test_inverse(windows, size, depth_axis):
    image = made_image(size=size)
    transform = Pseudo3D(*windows, depth_axis)
    restored = transform.inverse(transform(image))
    uncovered = restored.meta["uncovered"]
    assert torch.equal(restored.as_tensor(), torch.where(uncovered, 0.0, image.as_tensor()))
    assert bool(uncovered.any()) == (windows != (4, 2, 1))
    assert torch.equal(restored.affine, image.affine)
    assert restored.applied_operations == []
    assert restored.spatial_ndim == 2


def test_a_file_through_a_pipeline_and_back(tmp_path):
    """Read, transform, flip the volume, and undo all that by `Invertd`."""
    Image.fromarray(np.arange(20 * 30, dtype=np.uint8).reshape(20, 30)).save(tmp_path / "a.png")
    pipeline = Compose(
        [
            LoadImaged("image", ensure_channel_first=True),
            Pseudo3Dd(["image", "other"], 4, 2, 1, allow_missing_keys=True),
            RandFlipd("image", prob=1.0, spatial_axis=1),
        ]
    )
    item = pipeline({"image": str(tmp_path / "a.png")})
    assert item["image"].shape == (1, 16, 15, 10)  # MONAI reads pictures as (width, height)
    assert "other" not in item
    first = LoadImaged("image", ensure_channel_first=True)({"image": str(tmp_path / "a.png")})["image"]
    assert torch.equal(Invertd("image", pipeline)(item)["image"].as_tensor(), first.as_tensor())
    assert torch.equal(pipeline.inverse(item)["image"].as_tensor(), first.as_tensor())


def test_pending_operations_are_carried_out_before():
    image = made_image()
    pipeline = [Zoom(1.3, keep_size=False), Resize((24, 40)), Pseudo3D(4, 2, 1)]
    lazy = Compose(pipeline, lazy=True)(image)
    assert lazy.shape == (2, 16, 12, 20)
    assert not lazy.pending_operations
    by_hand = Compose(pipeline[:2], lazy=True)(image)
    assert torch.equal(lazy.as_tensor(), pseudo_3d(by_hand, 4, 2, 1))

    waiting = Flip(spatial_axis=0, lazy=True)(image)
    volume = pipeline[2](waiting)  # called outside of a Compose
    assert torch.equal(volume.as_tensor(), pseudo_3d(image.flip(1), 4, 2, 1))
    assert len(waiting.pending_operations) == 1
    assert [info["class"] for info in volume.applied_operations] == ["Flip", "Pseudo3D"]


def test_batches_of_the_loader_are_taken_and_inverted():
    items = [{"image": made_image(seed)} for seed in range(3)]
    batch = next(iter(DataLoader(Dataset(items), batch_size=3)))
    transform = Pseudo3Dd("image", 3, 2, 0)
    volumes = transform(batch)["image"]
    assert volumes.shape == (3, 2, 9, 9, 14)
    assert torch.equal(volumes.as_tensor(), pseudo_3d(batch["image"], 3, 2, 0))
    one = transform.inverse({"image": decollate_batch(volumes)[1]})["image"]
    assert one.meta["filename_or_obj"] == "1.png"
    together = transform.inverse({"image": volumes})["image"]
    assert torch.equal(together[1].as_tensor(), one.as_tensor())
    inside = ~one.meta["uncovered"]
    assert torch.equal(one[:, inside].as_tensor(), items[1]["image"][:, inside].as_tensor())
    assert bool(inside.any())


def test_plain_batches_are_taken_as_they_are():
    images = torch.rand(4, 3, 10, 12)
    volumes = Pseudo3D(4, 2, 1)(images)
    assert type(volumes) is torch.Tensor
    assert torch.equal(volumes, pseudo_3d(images, 4, 2, 1))


def test_without_metadata():
    set_track_meta(False)
    try:
        volume = Pseudo3D(4, 2, 1)(made_image())
    finally:
        set_track_meta(True)
    assert type(volume) is torch.Tensor


def test_inverse_after_workers():
    """Loader workers send volumes as pickles."""
    items = [{"image": made_image(seed)} for seed in range(2)]
    transform = Pseudo3Dd("image", 4, 2, 1)
    loaded = pickle.loads(pickle.dumps(Dataset(items, transform)[0]))
    assert torch.equal(transform.inverse(loaded)["image"].as_tensor(), items[0]["image"].as_tensor())


def test_a_crop_of_the_depth_is_possible_where_it_fits():
    crop = Pseudo3D(6, 3, 0, roi_size=(32, 60, 60))
    assert crop(torch.rand(1, 192, 192)).shape == (1, 36, 63, 63)
    assert Pseudo3Dd("image", 6, 3, 0, -1, roi_size=(63, 63, 36)).transform.roi_size == (63, 63, 36)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Pseudo3D(4, 2, 1, roi_size=(32, 64, 64)), r"gives 16, the crop \[32, 64, 64\] asks for 32\. Pass"),
        (lambda: Pseudo3D(4, 2, 1, -1, roi_size=(8, 64, 64)), r"gives 16, .* asks for 64\. Pass kernel_size 8"),
        (lambda: Pseudo3D(roi_size=(16, 64)), r"`roi_size` must be three sizes, 1 or more, got \(16, 64\)"),
        (lambda: Pseudo3D(roi_size=(0, 64, 64)), r"`roi_size` must be three sizes"),
        (lambda: Pseudo3D(4, 2, 1, roi_size=(16, 64, 64))(torch.rand(1, 128, 100)), r"128 × 100 .* 64 × 50 windows"),
        (
            lambda: Pseudo3D(4, 2, 1, -1, roi_size=(64, 64, 16))(torch.rand(1, 100, 128)),
            r"gives 50 × 64 windows .* asks for 64 × 64",
        ),
        (lambda: Pseudo3D()(MetaTensor(torch.rand(1, 16, 16, 16))), r"takes images, .* got the shape \(1, 16, 16,"),
        (lambda: Pseudo3D()(torch.rand(16, 16)), r"got the shape \(16, 16\)\. Add a channel with EnsureChannelFirst"),
        (lambda: Pseudo3D(8)(torch.rand(1, 4, 6)), r"kernel_size 8 is larger than an image of 4 × 6"),
        (lambda: Pseudo3D(stride=0), r"`stride` must be"),
        (lambda: Pseudo3D().inverse(torch.rand(1, 16, 4, 4)), r"metadata of a MetaTensor, got a plain Tensor\. Use"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(CrossDError, match=message):
        call()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_batches():
    image = made_image()
    transform = Pseudo3D(3, 2, 0)
    volume = transform(image.cuda())
    assert volume.is_cuda
    restored = transform.inverse(volume)
    assert restored.is_cuda
    assert torch.equal(restored.cpu().as_tensor(), transform.inverse(transform(image)).as_tensor())
    assert transform(torch.rand(2, 1, 9, 9, device="cuda")).is_cuda

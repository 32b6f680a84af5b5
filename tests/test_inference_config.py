"""`configs/inference.json` as MONAI runs it: files and folders in, tables and maps out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from crossd.checkpoints import save_checkpoint
from crossd.data import write_dicom_series
from crossd.inference import network_from_card
from crossd.options import declared
from monai.bundle import ConfigWorkflow
from monai.bundle.scripts import verify_metadata
from torch import Tensor, nn

from . import configs
from .configs import csv_rows

ROOT = Path(__file__).resolve().parents[1]


def make_card(classes: tuple[str, ...] = ("healthy", "aneurysm"), channels: int = 1, **changes: Any) -> dict[str, Any]:
    metadata = json.loads((ROOT / "configs" / "metadata.json").read_text(encoding="utf-8"))
    card = metadata["card"]
    card.pop("scope", None)  # of the shipped network
    card["class_names"] = list(classes)
    card["network"] = {"spatial_dims": 3, "in_channels": channels, "num_classes": len(classes), "depth": 10, "width": 4}
    card["input"] |= {"channels": [f"image_{n + 1}" for n in range(channels)], "roi_size": [32, 32, 32]}
    return {**card, **changes}


def make_checkpoint(path: Path, card: dict[str, Any]) -> str:
    torch.manual_seed(3)
    network = network_from_card(card)
    with torch.no_grad():
        network.fc.weight.mul_(20)  # so that different inputs have different probabilities
    save_checkpoint(path, network, card=card)
    return str(path)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_checkpoint(tmp_path_factory.mktemp("weights") / "model.pt", make_card())


def write_volume(path: Path, values: np.ndarray, affine: np.ndarray | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


def noise(seed: int, shape: tuple[int, ...] = (24, 22, 20)) -> np.ndarray:
    """Smooth, so that a voxel's intensity hardly depends on how it is rounded."""
    coarse = np.random.default_rng(seed).random((4, 4, 4))
    smooth = nn.functional.interpolate(torch.as_tensor(coarse)[None, None], shape, mode="trilinear")[0, 0].numpy()
    return (smooth * 1000).astype(np.int16)


def workflow(**options: Any) -> ConfigWorkflow:
    return configs.workflow("inference", **options)


def infer(images: Path, output: Path, **options: Any) -> list[dict[str, str]]:
    """Run and finish in this process, without the report."""
    made = configs.run("inference", **{"images": images, "output_dir": output, "report": False, **options})
    made.finalize()
    return read_rows(output)


def read_rows(output: Path) -> list[dict[str, str]]:
    return csv_rows(output / "predictions.csv")


def probabilities(row: dict[str, str]) -> np.ndarray:
    return np.array([float(value) for key, value in row.items() if key.startswith("probability_")])


def test_good_and_bad_inputs_from_another_directory(tmp_path: Path, weights: str) -> None:
    images, elsewhere = tmp_path / "images", tmp_path / "elsewhere"
    elsewhere.mkdir()
    whole = write_volume(images / "good.nii.gz", noise(1))
    (images / "cut.nii.gz").write_bytes(whole.read_bytes()[:2000])
    write_volume(images / "flat.nii.gz", noise(2)[:, :, 0])
    write_volume(images / "film.nii.gz", np.stack([noise(3)] * 3, -1))
    write_volume(images / "holes.nii.gz", np.where(noise(4) > 500, np.nan, 1.0))
    write_dicom_series(images / "scans", noise(5), np.diag([1.0, 1, 2, 1]), description="first")
    write_dicom_series(images / "scans", noise(6), np.diag([1.0, 1, 2, 1]), description="second", prefix="b")
    done = configs.started("inference", cwd=elsewhere, images="../images", output_dir="out", weights=weights)
    assert done.returncode == 2, done.stderr[-3000:]
    rows = read_rows(elsewhere / "out")
    failed = {row["case"]: row["reason"] for row in rows if row["status"] == "failed"}
    assert {name.split(".")[0] for name in failed} == {"cut", "flat", "film", "holes"}
    assert all(failed.values())
    good = [row for row in rows if row["status"] == "ok"]
    assert len(good) == 3  # the file and both series of the folder
    for row in good:
        assert probabilities(row).sum() == pytest.approx(1, abs=2e-6)
        assert row["predicted_class"] in ("healthy", "aneurysm")
    assert "3 of 7 cases done, 4 failed" in done.stdout
    report = (elsewhere / "out" / "report.html").read_text(encoding="utf-8")
    assert report.count("<tbody") == 7
    assert report.count("<figure") == 3 * 3
    document = json.loads((elsewhere / "out" / "predictions.json").read_text())
    for entry in document["cases"]:
        assert (entry["evidence"] is None) == (entry["status"] == "failed")
        assert entry["evidence"] is None or (elsewhere / "out" / entry["evidence"]).is_file()


def test_the_report_and_the_saliency_can_be_chosen(tmp_path: Path, weights: str) -> None:
    image = write_volume(tmp_path / "images" / "a.nii.gz", noise(1, (24, 40, 20)))
    infer(image, tmp_path / "plain", weights=weights)
    assert not (tmp_path / "plain" / "report.html").exists()
    assert not (tmp_path / "plain" / "saliency").exists()
    options = {
        "report": True,
        "saliency": "gradcam",
        "saliency_layer": "layer2",
        "report_slices": 4,
        "report_names": False,
    }
    infer(image, tmp_path / "full", weights=weights, **options)
    report = (tmp_path / "full" / "report.html").read_text(encoding="utf-8")
    assert 'data-shown="2,7,12,17"' in report
    assert report.count('class="map saliency"') == 3
    assert ">case 1<" in report
    written = nib.load(tmp_path / "full" / "saliency" / "a.nii.gz")
    assert written.shape == (24, 40, 20)
    assert np.ptp(written.get_fdata()) > 0
    options |= {"weights": weights, "saliency_layer": "layer9"}
    configs.refused(lambda: infer(image, tmp_path / "wrong", **options), "`saliency_layer` must be one of")


def test_nothing_could_run(tmp_path: Path, weights: str) -> None:
    write_volume(tmp_path / "images" / "flat.nii.gz", noise(2)[:, :, 0])
    with pytest.raises(SystemExit) as exit_:
        infer(tmp_path / "images", tmp_path / "out", weights=weights)
    assert exit_.value.code == 1
    assert [row["status"] for row in read_rows(tmp_path / "out")] == ["failed"]


def test_missing_weights_are_an_error_not_random_weights(tmp_path: Path) -> None:
    image = write_volume(tmp_path / "a.nii.gz", noise(1))
    nowhere = "/nowhere/model.pt"
    configs.refused(lambda: infer(image, tmp_path / "out", weights=nowhere), "A checkpoint is a file", nowhere)
    assert not (tmp_path / "out" / "predictions.csv").exists()


def test_a_run_without_images_says_how_to_name_them(tmp_path: Path, weights: str) -> None:
    run = workflow(output_dir=tmp_path, weights=weights).run
    configs.refused(run, "Pass --images PATH, a file, a folder or a CSV.")


def test_a_checkpoint_of_another_architecture(tmp_path: Path) -> None:
    card = make_card()
    other = {**card, "network": {**card["network"], "width": 8}}
    path = tmp_path / "foreign.pt"
    save_checkpoint(path, network_from_card(other), card=card)
    image = write_volume(tmp_path / "a.nii.gz", noise(1))
    configs.refused(lambda: infer(image, tmp_path / "out", weights=path), "conv1.weight")
    assert not (tmp_path / "out").exists()


def test_a_fine_tuned_file_brings_its_own_classes_and_input(tmp_path: Path) -> None:
    card = make_card(("a", "b", "c"), task="multilabel", negative_class=None)
    card["input"] |= {"spacing": None, "roi_size": [16, 16, 16], "mean": 0.5, "std": 0.25}
    path = make_checkpoint(tmp_path / "tuned.pt", card)
    image = write_volume(tmp_path / "a.nii.gz", noise(1))
    made = workflow(images=str(image), output_dir=str(tmp_path / "out"), weights=path)
    assert made.inferer.pad_value == -2
    assert made.inferer.activation == "sigmoid"
    made.run()
    (row,) = read_rows(tmp_path / "out")
    assert [key for key in row if key.startswith("probability_")] == ["probability_a", "probability_b", "probability_c"]
    (entry,) = json.loads((tmp_path / "out" / "predictions.json").read_text())["cases"]
    assert entry["windows"] == 2 * 2 * 2


class Peak(nn.Module):
    """Logits (0, 10 · maximum of the window - 5): a window that holds the object says 1, any other 0."""

    def forward(self, x: Tensor) -> Tensor:
        peak = x.flatten(1).amax(1)
        return torch.stack([torch.zeros_like(peak), 10 * peak - 5], 1)


@pytest.mark.parametrize("spacing", [None, [1.0, 1.0, 1.0]])
def test_the_map_points_at_the_object(tmp_path: Path, weights: str, spacing: list[float] | None) -> None:
    """One bright off-centre object in an oblique, left-handed volume larger than the window.

    It lies further than a window from every border: nearer to one, all voxels up to it are seen by windows with the
    object only, and share the maximum.
    """
    shape, centre = (70, 44, 60), np.array([46, 18, 24])
    cos, sin = np.cos(np.deg2rad(20)), np.sin(np.deg2rad(20))
    about_x = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    about_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ about_z @ np.array([[0, 0, -0.9], [1.1, 0, 0], [0, 1.3, 0]])
    affine[:3, 3] = [80, -35, 12]
    assert np.linalg.det(affine[:3, :3]) < 0
    values = np.zeros(shape, np.float32)
    values[tuple(slice(c - 1, c + 2) for c in centre)] = 1
    image = write_volume(tmp_path / "object.nii.gz", values, affine)

    card = make_card()
    card["input"] |= {"roi_size": [16, 16, 16], "spacing": spacing}
    options = {"card": card, "network_def": Peak(), "load_weights": None, "overlap": 0.75, "weights": weights}
    (row,) = infer(image, tmp_path / "out", **options)
    assert row["predicted_class"] == "healthy"  # most windows see nothing
    assert infer(image, tmp_path / "max", aggregate="max", **options)[0]["predicted_class"] == "aneurysm"

    saved = nib.load(tmp_path / "out" / "evidence" / "object.nii.gz")
    np.testing.assert_allclose(saved.affine, affine, atol=1e-4)
    assert saved.shape == shape
    evidence = saved.get_fdata()
    distance = np.linalg.norm((np.indices(shape).reshape(3, -1).T - centre) @ affine[:3, :3].T, axis=1)  # mm
    brightest = evidence.reshape(-1) > evidence.max() - 1e-3
    assert distance[brightest].max() < 8  # windows are 16 voxels of about 1 mm wide and 4 apart
    assert distance[brightest].min() < 1.5
    assert evidence.reshape(-1)[distance > 16 * 1.3 * 3**0.5].max() < 0.01  # no window reaches so far


def test_dicom_and_the_same_volume_as_nifti_agree(tmp_path: Path, weights: str) -> None:
    angle = np.deg2rad(12)
    affine = np.eye(4)
    affine[:3, :3] = [
        [0.8, 0, 0],
        [0, np.cos(angle) * 0.8, -np.sin(angle) * 2],
        [0, np.sin(angle) * 0.8, np.cos(angle) * 2],
    ]
    affine[:3, 3] = [-10, 20, 300]
    values = noise(7, (40, 36, 30))
    write_dicom_series(tmp_path / "images" / "dicom", values, affine, modality="MR")
    write_volume(tmp_path / "images" / "same.nii.gz", values, affine)
    rows = infer(tmp_path / "images", tmp_path / "out", weights=weights)
    assert len(rows) == 2
    first, second = map(probabilities, rows)
    np.testing.assert_allclose(first, second, atol=1e-4)
    assert 0.001 < first[0] < 0.999
    maps = [nib.load(path) for path in sorted((tmp_path / "out" / "evidence").iterdir())]
    assert {image.shape for image in maps} == {values.shape}


def test_one_column_per_channel(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "model.pt", make_card(channels=2))
    first = write_volume(tmp_path / "t1.nii.gz", noise(1))
    second = write_volume(tmp_path / "t2.nii.gz", noise(2, (12, 11, 10)), np.diag([2.0, 2, 2, 1]))
    far = write_volume(
        tmp_path / "far.nii.gz", noise(2), np.array([[1.0, 0, 0, 900], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    )
    table = tmp_path / "cases.csv"
    lines = ["case,image_1,image_2", f"both,{first},{second}", f"swapped,{second},{first}", f"apart,{first},{far}"]
    table.write_text("\n".join([*lines, f"one,{first},"]) + "\n")
    configs.run("inference", images=table, output_dir=tmp_path / "out", weights=path)
    rows = {row["case"]: row for row in read_rows(tmp_path / "out")}
    assert {name: row["status"] for name, row in rows.items()} == {
        **{"both": "ok", "swapped": "ok", "apart": "failed", "one": "failed"}
    }
    assert nib.load(tmp_path / "out" / "evidence" / "both.nii.gz").shape == (24, 22, 20)  # the first channel's grid
    assert nib.load(tmp_path / "out" / "evidence" / "swapped.nii.gz").shape == (12, 11, 10)


def test_a_wrong_number_of_channels(tmp_path: Path, weights: str) -> None:
    first, second = (write_volume(tmp_path / f"{n}.nii.gz", noise(n)) for n in (1, 2))
    table = tmp_path / "cases.csv"
    table.write_text(f"image_1,image_2\n{first},{second}\n")
    configs.run("inference", images=table, output_dir=tmp_path / "out", weights=weights)
    (row,) = read_rows(tmp_path / "out")
    assert row["status"] == "failed"
    assert "channel" in row["reason"]


def test_properties_other_tools_rely_on(tmp_path: Path, weights: str) -> None:
    image = write_volume(tmp_path / "a.nii.gz", noise(1))
    made = workflow(images=str(image), output_dir=str(tmp_path), weights=weights)
    assert made.check_properties() == []
    assert Path(made.bundle_root) == ROOT
    names = [type(transform).__name__ for transform in made.preprocessing.transforms]
    assert [name for name in names if "LoadImage" in name] == names[:1]  # MONAI Deploy drops it by name
    assert names[1] == "EnsureChannelFirstd"
    prepared = made.preprocessing({"image": str(image)})["image"]  # MONAI Label's item
    assert prepared.shape == (1, 20, 22, 24)
    predicted = made.inferer(inputs=prepared[None], network=made.network_def.eval())
    answer = made.postprocessing({"image": prepared, "pred": predicted[0]})["pred"]
    assert answer.shape == (2,)
    assert answer.array.shape == (2,)  # MONAI Label's writer logs it
    assert float(answer.sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["inference", "inference_segmentation"])
def test_a_key_with_a_value_is_a_declared_option(name: str) -> None:
    lines = (ROOT / "configs" / f"{name}.json").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    config = json.loads("\n".join(lines))
    values = {key for key, value in config.items() if not isinstance(value, (dict, list))}
    assert values - {"_desc_", "dataset_dir", "network"} == set(declared(name))


def test_clients_load_a_bare_state_dict_by_their_own_means(tmp_path: Path) -> None:
    """MONAI Label, Deploy and `monai.bundle.load` put models/model.pt into network_def themselves."""
    bundle = tmp_path / "some_classification"
    shutil.copytree(ROOT / "configs", bundle / "configs")
    (bundle / "models").mkdir()
    card = json.loads((bundle / "configs" / "metadata.json").read_text())["card"]
    torch.save(network_from_card(card).state_dict(), bundle / "models" / "model.pt")
    made = configs.workflow(str(bundle / "configs" / "inference.json"))
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert Path(made.bundle_root) == bundle
    assert str(made.network_def.load_state_dict(state)) == "<All keys matched successfully>"


def test_the_run_computes_what_the_network_computes(tmp_path: Path, weights: str) -> None:
    """Folded, windowed and written, one window's answer is that of the network with its weights."""
    image = write_volume(tmp_path / "a.nii.gz", noise(1, (32, 32, 32)))
    made = workflow(images=str(image), output_dir=str(tmp_path / "out"), weights=weights)
    made.run()
    network = made.network_def.eval()
    state = torch.load(weights, weights_only=True)["model"]
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    with torch.no_grad():
        expected = network(made.preprocessing({"image": str(image)})["image"][None].as_tensor()).softmax(1)[0]
    np.testing.assert_allclose(probabilities(read_rows(tmp_path / "out")[0]), expected, atol=2e-6)


def test_metadata_follows_monais_schema(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    shutil.copy(ROOT / "tests" / "data" / "meta_schema_20240725.json", schema)
    verify_metadata(str(ROOT / "configs" / "metadata.json"), str(schema))
    metadata = json.loads((ROOT / "configs" / "metadata.json").read_text())
    described = metadata["network_data_format"]["outputs"]["pred"]
    assert list(described["channel_def"].values()) == metadata["card"]["class_names"]
    assert metadata["network_data_format"]["inputs"]["image"]["spatial_shape"] == metadata["card"]["input"]["roi_size"]


@pytest.mark.slow
@pytest.mark.parametrize("series", ["mr_prostate_adc", "mr_positions/HFS"])
def test_real_series_and_the_same_as_nifti_agree(tmp_path: Path, weights: str, shared_data: Path, series: str) -> None:
    """ITK writes the NIfTI, from the files that GDCM sorts: nothing of ours is on that side."""
    import itk

    names = itk.GDCMSeriesFileNames.New()
    names.SetRecursive(True)
    names.SetDirectory(str(shared_data / "dicom" / series))
    (uid,) = names.GetSeriesUIDs()
    itk.imwrite(itk.imread(names.GetFileNames(uid), itk.F), str(tmp_path / "same.nii.gz"))
    (first,) = infer(shared_data / "dicom" / series, tmp_path / "dicom", weights=weights, overlap=0.0)
    (second,) = infer(tmp_path / "same.nii.gz", tmp_path / "nifti", weights=weights, overlap=0.0)
    np.testing.assert_allclose(probabilities(first), probabilities(second), atol=1e-4)
    ours, theirs = (nib.load(next((tmp_path / kind / "evidence").iterdir())) for kind in ("dicom", "nifti"))
    to_theirs = np.linalg.inv(theirs.affine) @ ours.affine  # the files may be stacked the other way round
    corners = np.array([[0, 0, 0, 1], [*(size - 1 for size in ours.shape), 1]]).T
    ends = np.rint(to_theirs @ corners)[:3].astype(int)
    for end, corner in zip(ends.T, corners[:3].T, strict=True):
        assert ours.get_fdata()[tuple(corner)] == pytest.approx(theirs.get_fdata()[tuple(end)], abs=1e-3)


def test_an_object_without_pixels_is_listed(tmp_path: Path, weights: str, shared_data: Path) -> None:
    images = shared_data / "dicom" / "enhanced" / "no_pixels_raw.dcm"
    workflow(images=str(images), output_dir=str(tmp_path), weights=weights).run()
    (row,) = read_rows(tmp_path)
    assert row["status"] == "failed"
    assert "pixel" in row["reason"].lower()

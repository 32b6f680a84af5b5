"""Self-supervised pre-training as a user runs it: pretrain_ssl.json on tiny images and volumes, and what follows."""

from __future__ import annotations

import contextlib
import io
from collections import Counter

import crossd
import nibabel
import numpy as np
import pytest
import torch
from crossd.checkpoints import read_card, read_checkpoint, save_checkpoint
from crossd.errors import CrossDError
from crossd.inference import network_from_card
from PIL import Image

from .commands import bundle
from .configs import csv_rows, refused, run, started
from .drivers import kill_and_resume

SMALL = {"roi_size": [16, 16, 16], "sub_crops": 1, "batch_size": 2, "depth": 10, "width": 2, "epochs": 2}
SMALL |= {"network_options": {"conv1_t_size": 3, "no_max_pool": True, "motion": "rotate"}}
SMALL |= {"tensorboard": False, "progress": False}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Folders `images` (4 pictures), `volumes` (3, with a labels.csv) and `labels.csv` with train and val."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "images").mkdir()
    (folder / "volumes").mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (24, 30), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
    lines = ["image,label,split"]
    for number in range(6):
        voxels = np.random.default_rng(number).random((20, 22, 21), dtype=np.float32)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / "volumes" / f"{number}.nii.gz")
        lines.append(f"volumes/{number}.nii.gz,{'ab'[number % 2]},{'train' if number < 4 else 'val'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def pretrain(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(output_dir="out", **options):
        given = {"images": data / "images", "volumes": data / "labels.csv", **SMALL, **options}
        run("pretrain_ssl", **{**given, "output_dir": tmp_path / output_dir})
        return tmp_path / output_dir

    return make


@pytest.fixture(scope="module")
def pretrained(root, data, tmp_path_factory):
    """The folder of a run, by the command of a user in another working directory."""
    folder = tmp_path_factory.mktemp("pretrained")
    for name in ("images", "volumes", "labels.csv"):
        (folder / name).symlink_to(data / name)
    options = {**SMALL, "images": "images", "volumes": "labels.csv", "output_dir": "out"}
    options |= {"mix": "mixed", "tensorboard": "true", "progress": "true", "algorithm": "adamw", "encoder": "crossd"}
    with contextlib.redirect_stderr(io.StringIO()) as said:
        assert bundle(root / "configs" / "pretrain_ssl.json", cwd=folder, **options) == 0
    assert "Epoch [1/2]" in said.getvalue()  # the progress bar
    return folder / "out"


def test_a_run_leaves_an_encoder_its_terms_and_its_cases(pretrained):
    content = read_checkpoint(pretrained / "model.pt")
    card = read_card(pretrained / "model.pt")
    assert (card["task"], card["encoder"], card["class_names"]) == ("self_supervised", "crossd", [])
    assert card["network"] == {
        "spatial_dims": 3,
        "in_channels": 1,
        "depth": 10,
        "width": 2,
        **SMALL["network_options"],
    }
    assert card["input"]["roi_size"] == [16, 16, 16]
    assert card["data"] == "images, labels.csv"
    assert {name: card["pseudo_3d"][name] for name in ("kernel_size", "stride", "padding")} == {
        "kernel_size": 4,
        "stride": 2,
        "padding": 1,
    }
    encoder = network_from_card({**card, "task": "multiclass", "class_names": ["a", "b"]}, num_classes=2)
    names = {name for name in encoder.state_dict() if not name.startswith("fc.")}
    assert set(content["model"]) == names
    whole = read_checkpoint(pretrained / "checkpoint_0002.pt")["model"]
    assert {f"encoder.net.{name}" for name in names} < set(whole)
    assert any(name.startswith("decoder.") for name in whole)
    rows = csv_rows(pretrained / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    terms = ("restoration", "similarity", "sub_crops")
    last = rows[1]
    assert card["metrics"]["epoch"] == 2
    assert card["metrics"]["loss"] == pytest.approx(float(last["loss"]))
    assert float(rows[0]["beta"]) > float(last["beta"]) > 0
    assert all(np.isfinite(float(last[name])) for name in terms)
    cases = csv_rows(pretrained / "cases.csv")
    assert Counter(case["kind"] for case in cases) == {"images": 4, "volumes": 4}  # the val rows are not there
    assert not any("volumes/4" in case["source"] or "volumes/5" in case["source"] for case in cases)


def test_tensorboard_shows_terms_and_restored_planes(pretrained):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(pretrained / "tensorboard"), size_guidance={"images": 10})
    events.Reload()
    scalars = set(events.Tags()["scalars"])
    assert {"loss", "restoration", "similarity", "sub_crops", "middle", "beta"} <= scalars
    assert set(events.Tags()["images"]) == {"restored/images", "restored/volumes"}
    pictures = events.Images("restored/volumes")
    assert [picture.step for picture in pictures] == [1, 2]
    assert (pictures[0].height, pictures[0].width) == (16, 33)


def test_intensities_are_those_that_views_have_on_average(pretrained, data):
    """Cases of the card's mean and std, normalised by it, are at 0 and 1 as normalised views are."""
    from crossd.data import preprocessing

    card = read_card(pretrained / "model.pt")
    read = preprocessing(card["input"])
    cases = [read({"image": [str(data / "volumes" / f"{n}.nii.gz")]})["image"] for n in range(4)]
    assert float(np.mean([float(case.mean()) for case in cases])) == pytest.approx(0, abs=1e-3)
    assert float(np.mean([float(case.var()) for case in cases])) == pytest.approx(1, abs=5e-3)


@pytest.mark.slow
def test_fine_tuning_takes_network_and_input_from_the_card(data, pretrained, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    options = {"labels": data / "labels.csv", "weights": pretrained / "model.pt", "output_dir": tmp_path / "fine"}
    with caplog.at_level("INFO"):
        run("train", **options, trainable="head", epochs=1, batch_size=2, tensorboard=False)
    before, after = read_card(pretrained / "model.pt"), read_card(tmp_path / "fine" / "model.pt")
    assert after["task"] == "multiclass"
    assert after["network"] == {**before["network"], "num_classes": 2}
    assert after["input"] == before["input"]
    weights = read_checkpoint(pretrained / "model.pt")["model"]
    for name, value in read_checkpoint(tmp_path / "fine" / "model.pt")["model"].items():
        assert name.startswith("fc.") or torch.equal(value, weights[name]), name
    assert "crossd checkpoint → CrossDResNet" in caplog.text
    assert (
        "The last layer was initialised afresh: fc.weight is not in the checkpoint, and 2 in the network" in caplog.text
    )


def test_what_an_encoder_cannot_do(root, data, pretrained, tmp_path):
    with pytest.raises(CrossDError, match=r"a self-supervised encoder answers nothing yet.*train.json --weights FILE"):
        network_from_card(read_card(pretrained / "model.pt"))
    card = {**read_card(pretrained / "model.pt"), "encoder": "unet"}
    save_checkpoint(tmp_path / "unet.pt", {"a": torch.zeros(1)}, card)
    with pytest.raises(CrossDError, match=r"trained from the encoder of a CrossDResNet; .*unet.pt holds that of unet"):
        crossd.training.base_card(str(tmp_path / "unet.pt"), str(root))


@pytest.mark.parametrize(
    ("options", "kind"), [({"volumes": "none"}, "images"), ({"images": "none"}, "volumes")], ids=["2D", "3D"]
)
def test_ablations(pretrain, options, kind):
    folder = pretrain(**options, epochs=1, steps_per_epoch=1)
    assert {row.split(",")[0] for row in (folder / "cases.csv").read_text().splitlines()[1:]} == {kind}
    card = read_card(folder / "model.pt")
    assert (card["pseudo_3d"] is None) == (kind == "volumes")
    if kind == "images":  # all there is to measure
        assert {name: card["pseudo_3d"][name] for name in ("mean", "std")} == {
            name: card["input"][name] for name in ("mean", "std")
        }


@pytest.mark.parametrize("encoder", ["segresnet", "unet", pytest.param("swinunetr", marks=pytest.mark.slow)])
def test_other_encoders(pretrain, encoder):
    options = {"depths": [1] * 4, "num_heads": [3] * 4} if encoder == "swinunetr" else {}
    width = {"segresnet": 8, "unet": 2, "swinunetr": 12}[encoder]
    folder = pretrain(encoder=encoder, width=width, network_options=options, epochs=1, steps_per_epoch=1)
    card = read_card(folder / "model.pt")
    assert (card["encoder"], card["network"]["width"]) == (encoder, width)
    assert "depth" not in card["network"]
    from crossd.ssl import build_encoder

    again = build_encoder(
        encoder, 1, {k: v for k, v in card["network"].items() if k not in ("spatial_dims", "in_channels")}
    )
    again.net.load_state_dict(read_checkpoint(folder / "model.pt")["model"])


def test_it_starts_from_weights(pretrain, pretrained):
    folder = pretrain(weights=str(pretrained / "model.pt"), epochs=1, steps_per_epoch=1, learning_rate=0.0)
    before, after = (read_checkpoint(path / "model.pt")["model"] for path in (pretrained, folder))
    assert all(torch.equal(after[name], value) for name, value in before.items() if name.endswith("conv1.weight"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": None}, "Joint pre-training needs images beside its volumes, got none. Pass --images"),
        ({"volumes": None}, "Joint pre-training needs volumes beside its images, got none. Pass --volumes"),
        ({"images": "none", "volumes": "none"}, "got --images none and --volumes none. Leave one of them out."),
        ({"channels": 3}, "have the same channels; got channels 3 and 1 in labels.csv/"),
        ({"kernel_size": 3}, "kernel_size 3 gives 9, the crop [16, 20, 20] asks for 16. Pass kernel_size 4"),
        ({"kernel_size": 40, "image_size": 30, "padding": 0}, "kernel_size 40 is larger than an image of 30 × 30"),
        ({"image_size": 20}, "an image of 20 × 20 pixels gives 10 × 10 windows"),
    ],
)
def test_refused(pretrain, options, message):
    refused(lambda: pretrain(**options), message)


@pytest.mark.slow
def test_a_run_is_resumed_under_its_settings_only(pretrain):
    folder = pretrain(epochs=1, steps_per_epoch=1)
    refused(lambda: pretrain(epochs=1, steps_per_epoch=2), "steps_per_epoch was 1 and is 2")
    pretrain(epochs=1, steps_per_epoch=2, resume="false")  # a word, as it comes from the command line
    assert read_checkpoint(folder / "checkpoint_0001.pt")["settings"]["steps_per_epoch"] == 2


def killed(data, folder, epochs=3, **moments):
    options = {**SMALL, "images": data / "images", "volumes": data / "labels.csv", "epochs": epochs}
    options |= {"steps_per_epoch": 2}
    return kill_and_resume(folder, ["pretrain_ssl"], options, **moments)[0]


@pytest.mark.slow
def test_a_killed_run_ends_as_the_whole_run(data, tmp_path):
    assert killed(data, tmp_path, epochs=2, runs=1, kills=1, latest=4, seed=0) == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_many_moments(data, tmp_path):
    assert killed(data, tmp_path, runs=4, kills=4, latest=8, seed=1) >= 10


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_train_as_one(data, pretrain, tmp_path):
    options = {**SMALL, "images": data / "images", "volumes": data / "labels.csv", "output_dir": tmp_path / "two"}
    # one step: in every further one, batch norms of four cases make a hundred times as much of what rounding began
    steps = {"epochs": 1, "steps_per_epoch": 1, "mix": "mixed", "learning_rate": 0.01}
    done = started("pretrain_ssl", "multi_gpu_pretrain_ssl", processes=2, **{**options, **steps, "batch_size": 2})
    assert done.returncode == 0, done.stderr
    alone = pretrain("one", **steps, batch_size=4)
    one, two = (read_checkpoint(folder / "checkpoint_0001.pt")["model"] for folder in (alone, tmp_path / "two"))
    for name, value in one.items():
        if value.is_floating_point():
            torch.testing.assert_close(two[name], value, atol=1e-5, rtol=1e-4, msg=name)
    (first,), (second,) = (csv_rows(path / "metrics.csv") for path in (alone, tmp_path / "two"))
    for name, value in first.items():
        assert float(second[name]) == pytest.approx(float(value), abs=1e-5)

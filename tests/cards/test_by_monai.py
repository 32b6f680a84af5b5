"""MONAI's own export and load: the file, and the network, are the checkpoint's, whatever model the config is of."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import monai.bundle
import pytest
import torch
from crossd.callers import monai_command
from crossd.cards.metadata import metadata_from_card
from crossd.checkpoints import read_card, save_checkpoint
from crossd.errors import CrossDError, rule_broken
from crossd.inference import network_from_card
from crossd.segmentation import segmentation_network

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def bundle(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle, and in its `models` besides its own three that were trained further."""
    folder = tmp_path_factory.mktemp("bundles") / "own"
    shutil.copytree(root / "configs", folder / "configs")
    shutil.copytree(root / "models", folder / "models")
    card = read_card(root / "models" / "model.pt")
    pets = {**card, "class_names": ["cat", "dog"], "negative_class": None, "data": "pets", "metrics": {"val_auc": 0.5}}
    save_checkpoint(folder / "models" / "pets.pt", network_from_card(pets), pets)  # it would fit into the vessels'
    small = {**pets, "class_names": ["a", "b", "c"]}
    small["network"] = {**card["network"], "num_classes": 3, "depth": 10, "width": 4}
    save_checkpoint(folder / "models" / "small.pt", network_from_card(small), small)
    masks = {**pets, "task": "segmentation", "class_names": ["none", "box"], "label_values": [0, 1]}
    masks |= {"negative_class": 0}
    masks["network"] = {"name": "UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2}
    masks["network"] |= {"channels": [4, 8], "strides": [2]}
    save_checkpoint(folder / "models" / "masks.pt", segmentation_network(masks), masks)
    save_checkpoint(folder / "models" / "nameless.pt", network_from_card(small))
    return folder


def export(bundle: Path, model: str, output: Path, config: str = "inference", **options: Any) -> dict[str, Any]:
    """The metadata in what `ckpt_export` makes of a model."""
    monai.bundle.ckpt_export(
        filepath=str(output),
        ckpt_file=str(bundle / "models" / model),
        config_file=str(bundle / "configs" / f"{config}.json"),
        **{"bundle_root": str(bundle), "key_in_ckpt": "model", **options},
    )
    extra = {"metadata.json": ""}
    assert not torch.jit.load(output, _extra_files=extra).training
    return dict(json.loads(extra["metadata.json"]))


@pytest.mark.parametrize("config", ["inference", "train"])
@pytest.mark.parametrize(
    ("model", "classes"), [("pets.pt", ["cat", "dog"]), ("small.pt", ["a", "b", "c"])], ids=["pets", "small"]
)
def test_an_export_has_the_classes_and_figures_of_the_checkpoint(
    bundle: Path, tmp_path: Path, model: str, classes: list[str], config: str
) -> None:
    made = export(bundle, model, tmp_path / "m.ts", config)
    assert made["card"] == read_card(bundle / "models" / model)
    assert made["network_data_format"]["outputs"]["pred"]["channel_def"] == dict(zip("012", classes, strict=False))
    assert made["eval_metrics"] == {"val_auc": 0.5}
    assert "vessel" not in json.dumps(made).lower()
    assert "aneurysm" not in json.dumps(made)


def test_the_bundles_own_model_keeps_the_bundles_metadata(bundle: Path, tmp_path: Path) -> None:
    made = export(bundle, "model.pt", tmp_path / "m.ts", key_in_ckpt="")
    said = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert {name: made[name] for name in said} == said


def test_a_model_that_segments(bundle: Path, tmp_path: Path) -> None:
    weights = str(bundle / "models" / "masks.pt")
    made = export(bundle, "masks.pt", tmp_path / "m.ts", "inference_segmentation", weights=weights)
    assert made["task"] == "Segmentation of volumes: 0 none, 1 box"
    assert made["network_data_format"]["outputs"]["pred"]["format"] == "segmentation"
    with pytest.raises(Exception, match=r".") as raised:
        export(bundle, "masks.pt", tmp_path / "m.ts")
    assert "configs/inference_segmentation.json" in str(rule_broken(raised.value))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (
            "pets.pt",
            {"key_in_ckpt": ""},
            r"where in a checkpoint the weights are; got --key_in_ckpt ''.*pets\.pt.*Pass --key",
        ),
        ("nameless.pt", {}, r"must say what its network is, in a card; .*nameless\.pt has none"),
    ],
)
def test_what_cannot_be_exported_fails_in_a_sentence(
    bundle: Path, tmp_path: Path, model: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(Exception, match=r".") as raised:
        export(bundle, model, tmp_path / "m.ts", **options)
    with pytest.raises(CrossDError, match=message):
        raise rule_broken(raised.value) or AssertionError(raised.value)
    assert not (tmp_path / "m.ts").exists()


def test_an_onnx_file_of_monais_would_carry_no_card(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r".") as raised:
        monai.bundle.onnx_export(
            "network_def",
            filepath=str(tmp_path / "m.onnx"),
            ckpt_file=str(bundle / "models" / "pets.pt"),
            config_file=str(bundle / "configs" / "inference.json"),
            key_in_ckpt="model",
            input_shape=[1, 1, 16, 16, 16],
        )
    with pytest.raises(
        CrossDError, match=r"onnx_export writes no card.*scripts/export.py --to onnx --weights .*pets\.pt"
    ):
        raise rule_broken(raised.value) or AssertionError(raised.value)


def load(bundle: Path, workflow_type: str, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return monai.bundle.load(
            bundle.name, bundle_dir=str(bundle.parent), workflow_type=workflow_type, device="cpu", **options
        )


def test_a_network_for_inference_is_in_evaluation_mode(bundle: Path) -> None:
    network = load(bundle, "inference")
    assert not any(module.training for module in network.modules())
    assert load(bundle, "train").training


@pytest.mark.parametrize("options", [{}, {"key_in_ckpt": "model"}], ids=["no key", "key"])
def test_loaded_is_the_checkpoint_and_never_what_is_left_of_it(bundle: Path, options: dict[str, str]) -> None:
    """MONAI copies what fits by name and shape, and leaves the rest random."""
    network = load(bundle, "inference", model_file="models/small.pt", **options)
    stored = torch.load(bundle / "models" / "small.pt", weights_only=True)["model"]
    assert set(stored) == set(network.state_dict())
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, stored[name], rtol=0, atol=0)
    with pytest.raises(Exception, match=r".") as raised:
        load(bundle, "inference", model_file="models/nameless.pt", **options)
    assert isinstance(rule_broken(raised.value), CrossDError)


def test_another_head_may_be_asked_for(bundle: Path) -> None:
    assert load(bundle, "inference", net_override={"num_classes": 5}).fc.out_features == 5


def test_a_networks_own_code_is_no_command_of_monais() -> None:
    def ckpt_export(ckpt_file_: str) -> bool:
        return monai_command() is None

    assert ckpt_export("x.pt")


def test_metadata_of_images_have_images() -> None:
    seen = {"channels": ["grey"], "roi_size": [1, 32, 48], "mean": 0.0, "std": 1.0}
    card = {"task": "multilabel", "class_names": ["x"], "network": {"spatial_dims": 2}, "input": seen}
    made = metadata_from_card(card, Path("m.pt"), {})
    assert made["network_data_format"]["inputs"]["image"]["spatial_shape"] == [32, 48]
    assert made["task"] == "Classification of images: 0 x"
    whole = metadata_from_card({**card, "network": {}, "input": {**seen, "roi_size": None}}, Path("m.pt"), {})
    image = whole["network_data_format"]["inputs"]["image"]
    assert (image["spatial_shape"], image["is_patch_data"]) == (["*", "*", "*"], False)

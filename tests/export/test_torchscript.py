"""`model.ts` alone: weights, metadata, and a config that needs no file beside it and runs no foreign code."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch
from crossd.checkpoints import read_card, save_checkpoint
from crossd.data import preprocessing
from crossd.data.nifti import write_nifti
from crossd.export import Trained, export_network
from crossd.export.torchscript import inference_config, metadata_of
from crossd.inference import WindowInferer, background
from monai.bundle import ConfigParser
from monai.data import load_net_with_metadata

from .made import ROOT


@pytest.fixture(scope="module")
def model_ts(checkpoint, tmp_path_factory):
    return export_network(checkpoint, "torchscript", tmp_path_factory.mktemp("alone"), bundle=ROOT).files[0]


def test_the_archive_has_the_two_files_where_clients_look(model_ts):
    with zipfile.ZipFile(model_ts) as archive:
        metadata, config = (json.loads(archive.read(f"model/extra/{name}.json")) for name in ("metadata", "inference"))
    ours = json.loads((ROOT / "configs" / "inference.json").read_text())
    assert {key: value for key, value in config.items() if key != "card"} == {
        key: value for key, value in ours.items() if key != "card"
    }
    assert list(config) == list(ours)
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"] == {
        "0": "healthy",
        "1": "ill",
        "2": "other",
    }


def test_it_classifies_by_itself(model_ts, checkpoint, tmp_path, monkeypatch):
    """As MONAI Deploy does: preprocessing, inferer and postprocessing of the config, the network of the file."""
    monkeypatch.chdir(tmp_path)  # no bundle here
    network, metadata, extra = load_net_with_metadata(str(model_ts), more_extra_files=("inference.json",))
    parser = ConfigParser(json.loads(extra["inference.json"]))
    parser.read_meta(metadata)
    generator = torch.Generator().manual_seed(0)
    images = [
        str(write_nifti(tmp_path / f"{name}.nii.gz", torch.rand(40, 33, 20, generator=generator).numpy()))
        for name in ("t1", "t2")
    ]
    volume = parser.get_parsed_content("preprocessing")({"image": images})["image"]
    inferer = parser.get_parsed_content("inferer")
    with torch.no_grad():
        pred = inferer(inputs=volume[None], network=network)[0]
    actual = parser.get_parsed_content("postprocessing")({"pred": pred})["pred"]

    card = read_card(checkpoint)
    expected_volume = preprocessing(card["input"])({"image": images})["image"]
    by_hand = WindowInferer(
        card["input"]["roi_size"], overlap=0.5, negative_class=0, pad_value=background(card["input"])
    )
    original = Trained.read(checkpoint, ROOT).original
    torch.testing.assert_close(actual, by_hand(expected_volume[None], original)[0], atol=1e-4, rtol=0)
    assert len(by_hand.windows(expected_volume[None], original).starts) > 1


def test_the_bundles_own_model_has_the_bundles_metadata():
    ours = json.loads((ROOT / "configs" / "metadata.json").read_text())
    shipped = Trained(torch.nn.Identity(), torch.nn.Identity(), ours["card"], ROOT / "models" / "model.pt", ROOT)
    assert metadata_of(shipped) == ours


def test_metadata_of_another_checkpoint(checkpoint, tmp_path):
    """Nothing that is true of the shipped model only; and it satisfies MONAI's schema."""
    from monai.bundle import verify_metadata

    made = metadata_of(Trained.read(checkpoint, ROOT))
    text = json.dumps(made).lower()
    assert "vessel" not in text
    assert "aneurysm" not in text
    assert (
        made["network_data_format"]["inputs"]["image"]
        | {
            "num_channels": 2,
            "spatial_shape": [24, 32, 16],
            "value_range": [-2.0, 2.0],  # (0 - 0.5) / 0.25 and (1 - 0.5) / 0.25; the other channel has -0.5 to 1.5
            "channel_def": {"0": "t1", "1": "t2"},
        }
        == made["network_data_format"]["inputs"]["image"]
    )
    (tmp_path / "metadata.json").write_text(json.dumps(made))
    schema = tmp_path / "schema.json"
    schema.write_bytes((ROOT / "tests" / "data" / "meta_schema_20240725.json").read_bytes())
    verify_metadata(meta_file=str(tmp_path / "metadata.json"), filepath=str(schema))


EVIL = ["$__import__('pathlib').Path('run').touch()", "@images", "%inference.json#images", "@#card", "90 % sure"]


def test_a_card_brings_no_code_and_no_references(checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = torch.load(checkpoint, weights_only=True)
    card = content["card"] | {"class_names": EVIL[:3], "data": EVIL[0], "_target_": "os.getcwd", "notes": EVIL}
    save_checkpoint(tmp_path / "evil.pt", content["model"], card=card)
    config = inference_config(Trained.read(tmp_path / "evil.pt", ROOT))
    parser = ConfigParser(json.loads(json.dumps(config)))
    parser.parse()
    assert parser.get_parsed_content("card") == card
    assert not (tmp_path / "run").exists()

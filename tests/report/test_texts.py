"""What a page says of a model, and what it does not say of a path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from crossd.checkpoints import read_card
from crossd.report.model_facts import UNSTATED, model_facts
from crossd.texts import without_folders

from .made import CARD

ROOT = Path(__file__).resolve().parents[2]
METADATA = ROOT / "configs" / "metadata.json"


def test_the_bundles_model_is_described_by_the_bundle() -> None:
    metadata = json.loads(METADATA.read_text())
    facts = model_facts(metadata["card"], METADATA, "/somewhere/model.pt")
    assert facts["Model"] == metadata["name"]
    assert facts["Version"].startswith(metadata["version"])
    assert facts["Intended use"] == metadata["intended_use"]
    assert facts["Weights"] == "model.pt"
    assert facts["Input"] == (
        "1 channel (image), axial slices, voxels of 1 × 1 × 1 mm, windows of 64 × 64 × 64 voxels, "
        "full range of grey values"
    )
    whole = {**metadata["card"], "input": {**metadata["card"]["input"], "roi_size": None}}
    assert "1 × 1 × 1 mm, whole volumes, full range" in model_facts(whole, METADATA)["Input"]
    assert facts["Says"] == "one of these: healthy (nothing found), aneurysm"
    assert facts["Measured"].startswith(f"AUC {metadata['eval_metrics']['auc']['value']:.2f} (95 % ")


def test_the_shipped_weights_are_the_bundles_model() -> None:
    assert model_facts(read_card(str(ROOT / "models" / "model.pt")), METADATA)["Model"] != "a checkpoint of your own"


def test_another_model_is_not_described_by_the_bundle() -> None:
    facts = model_facts(CARD | {"metrics": {"val_auc": 0.91234}}, METADATA, None)
    assert facts["Model"] == "a checkpoint of your own"
    assert facts["Intended use"] == UNSTATED
    assert facts["Measured"] == "validation AUC 0.91"
    assert "Weights" not in facts


@pytest.mark.parametrize("file", [None, "/nowhere/metadata.json", __file__])
def test_metadata_that_is_not_there_is_no_error(file: str | None) -> None:
    assert model_facts(CARD, file)["Model"] == "a checkpoint of your own"


SOURCE = "/data/DOE JANE/head/a.nii.gz"


@pytest.mark.parametrize(
    ("text", "shown", "nameless"),
    [
        (f"'{SOURCE}' has 0 bytes.", "'…/a.nii.gz' has 0 bytes.", "'…' has 0 bytes."),
        (f"File {SOURCE} is cut", "File …/a.nii.gz is cut", "File … is cut"),
        ("see '/data/DOE JANE/head/b.dcm' too", "see '…/b.dcm' too", "see '…' too"),
        ("see /mnt/DOE/x.dcm, and 1/2 of it", "see …/x.dcm, and 1/2 of it", "see … and 1/2 of it"),
        ("'C:\\DOE\\x.dcm' is old", "'…/x.dcm' is old", "'…' is old"),
        ("'/data/O'Neill J/t2.nii' is cut, as is 'a.nii'", "'…/t2.nii' is cut, as is 'a.nii'", "'…' is cut, as is '…'"),
        ("see '/data/DOE P/b.nii' and /data/DOE/c.nii", "see '…/b.nii' and …/c.nii", "see '…' and …"),
        ("series 3 'DOE JANE' (1.2.826.0.1) has a gap", None, "series 3 '…' (…) has a gap"),
        ("2 (series 3, DOE 5, CT, 7 slices; series 4, MR, 9 slices).", None, "2 (series …; series …)."),
        ("those of series 3, DOE's head, CT, 12 slices are sheared", None, "those of series … are sheared"),
        (
            "its SeriesDescription is 'scout of O'Neill', series MR 'x' no. 2 (1.2.3.4).",
            None,
            "its SeriesDescription is '…', series MR '…' no. 2 (…).",
        ),
        ("a scan's shape differs from its mask's", "a scan's shape differs from its mask's", None),
        ("3/4 of the slices; 2 mm/s", "3/4 of the slices; 2 mm/s", "3/4 of the slices; 2 mm/s"),
    ],
)
def test_names_are_left_out(text: str, shown: str | None, nameless: str | None) -> None:
    """`None`: as it is."""
    assert without_folders(text, SOURCE) == (text if shown is None else shown)
    assert without_folders(text, SOURCE, names=False) == (text if nameless is None else nameless)
    assert "DOE" not in (shown or "") + (nameless or "")

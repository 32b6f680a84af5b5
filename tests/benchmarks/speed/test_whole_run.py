"""The contestants of the whole run do the same work, and what is timed is what ran."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from crossd.checkpoints import save_checkpoint
from crossd.data import write_dicom_series
from crossd.data.phantoms import vessel_phantom
from crossd.errors import CrossDError
from crossd.inference import network_from_card

from scripts.benchmarks.speed import whole_run
from scripts.benchmarks.speed.whole_run import FOLDED, ZOO_STYLE, in_a_process, make_cases, parts_alone, run_config

ROOT = Path(__file__).resolve().parents[3]
CONFIG = str(ROOT / "configs" / "inference.json")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    card = json.loads((ROOT / "configs" / "metadata.json").read_text())["card"]
    card.pop("scope", None)  # of the shipped network
    card["network"] |= {"depth": 10, "width": 4}
    card["input"]["roi_size"] = [24, 24, 24]
    torch.manual_seed(3)
    network = network_from_card(card)
    with torch.no_grad():
        network.fc.weight.mul_(20)  # so that different inputs have different probabilities
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    save_checkpoint(path, network, card=card)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, FOLDED])
def test_the_zoo_style_computes_what_the_bundle_computes(tmp_path: Path, weights: str, changes: dict[str, Any]) -> None:
    """One window per case; with several the zoo's style averages logits."""
    images = make_cases(tmp_path / "in", count=3, size=27, spacing=0.9)
    options = {"images": str(images), "weights": weights}
    zoo = run_config(str(ZOO_STYLE), output_dir=str(tmp_path / "zoo"), roi_size=[24, 24, 24], **changes, **options)
    bundle = run_config(CONFIG, output_dir=str(tmp_path / "ours"), stages=True, **options)
    theirs = [[float(cell) for cell in row[1:]] for row in csv.reader((tmp_path / "zoo" / "predictions.csv").open())]
    ours = json.loads((tmp_path / "ours" / "predictions.json").read_text())["cases"]
    assert [case["windows"] for case in ours] == [1, 1, 1]
    for case, row in zip(ours, theirs, strict=True):
        assert list(case["probabilities"].values()) == pytest.approx(row, abs=1e-4)
    assert len({row[0] for row in theirs}) == 3
    assert zoo["run"] > 0
    stages = {"weights", "waiting for cases", "network", "map", "writing the map", "preparing: LoadImageVolumed"}
    assert stages < set(bundle)
    assert all(0 < bundle[stage] < bundle["run"] for stage in stages)


@pytest.mark.slow
def test_the_parts_are_those_of_the_run(tmp_path: Path, weights: str) -> None:
    affine = torch.diag(torch.tensor([0.8, 0.8, 2.0, 1])).numpy()
    write_dicom_series(tmp_path / "in", vessel_phantom(1, True, 40), affine)
    parts = parts_alone(str(tmp_path / "in"), weights, sw_batch_size=4)
    run_config(CONFIG, output_dir=str(tmp_path / "out"), images=str(tmp_path / "in"), weights=weights)
    (case,) = json.loads((tmp_path / "out" / "predictions.json").read_text())["cases"]
    assert parts["windows"] == case["windows"] > 1
    assert min(parts[name] for name in ("read", "resample", "resample by MONAI", "network")) > 0


def test_a_contestant_finishes_or_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    child = "import json, sys; print('RESULT' + json.dumps({'told': json.loads(sys.argv[1])}))"
    monkeypatch.setattr(whole_run, "_CHILD", child)
    found = in_a_process("parts_alone", threads=1, images="scans")
    assert found["told"] == ["parts_alone", {"images": "scans"}, 1]
    assert found["process"] > 0
    monkeypatch.setattr(whole_run, "_CHILD", "raise SystemExit('no such file: /nowhere')")
    with pytest.raises(CrossDError, match=r"(?s)A contestant must finish: run_config of .*no such file: /nowhere"):
        in_a_process("run_config", threads=1, config=CONFIG)

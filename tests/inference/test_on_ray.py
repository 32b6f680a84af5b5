"""The inference config on Ray Data gives the tables of the bundle."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from crossd.data import find_cases
from crossd.errors import CrossDError
from crossd.inference import CaseDataset
from crossd.inference.on_ray import RayClassifier, infer_on_ray

from scripts.benchmarks.many_cases.cases import make_many

from ..configs import csv_rows, run
from ..many_cases import make_model

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs" / "inference.json"


def test_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        CrossDError, match=r'Ray must be installed, got none: pip install "crossd\[ray\]", or use torch'
    ):
        infer_on_ray(CONFIG, 1, str(tmp_path), str(tmp_path / "out"))


def test_what_an_actor_does_is_what_the_bundle_does(tmp_path: Path) -> None:
    """Without Ray: a case that can be read, with a Grad-CAM map, and one that cannot."""
    images, weights = make_many(tmp_path / "in", 2), make_model(tmp_path / "m.pt")
    (images / "c000001.nii.gz").write_bytes(b"\x1f\x8b cut")
    options = {"images": str(images), "weights": str(weights), "saliency": "gradcam", "backend": "eager"}
    run("inference", output_dir=tmp_path / "one", **options)
    cases = CaseDataset(find_cases(images), dict)
    actor = RayClassifier(str(CONFIG), {**options, "output_dir": str(tmp_path / "ray")})
    rows = [{"name": name, "item": pickle.dumps(item)} for name, item in zip(cases.names, cases.data, strict=True)]
    answers = [json.loads(actor(row)["entry"]) for row in rows]
    expected = json.loads((tmp_path / "one" / "predictions.json").read_text())["cases"]
    for ours, theirs in zip(answers, expected, strict=True):
        if theirs["probabilities"]:
            theirs["probabilities"] = pytest.approx(theirs["probabilities"], abs=1e-6)
        assert ours == theirs
    for kind in ("evidence", "saliency"):
        assert [path.name for path in (tmp_path / "ray" / kind).iterdir()] == ["c000000.nii.gz"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tables_are_those_of_the_bundle(tmp_path: Path) -> None:
    if find_spec("ray") is None:
        pytest.skip('Ray is not installed: it takes 500 MB, so it has an extra of its own, pip install "crossd[ray]"')
    images, weights = make_many(tmp_path / "in", 12), make_model(tmp_path / "m.pt")
    (images / "c000003.nii.gz").write_bytes(b"\x1f\x8b cut")
    arguments = ["--images", images, "--output_dir", tmp_path / "ray", "--weights", weights, "--processes", "2"]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "infer_on_ray.py", *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "11 cases done, 1 failed, 0 skipped" in done.stdout
    run("inference", images=images, output_dir=tmp_path / "one", weights=weights, report=False)
    tables = []
    for name in ("ray", "one"):
        tables.append(csv_rows(tmp_path / name / "predictions.csv"))
    assert len(tables[0]) == len(tables[1]) == 12
    for ours, theirs in zip(*tables, strict=True):
        for column, text in theirs.items():
            if column.startswith("probability_") and text:
                assert float(ours[column]) == pytest.approx(float(text), abs=5e-6)
            else:
                assert ours[column] == text
    maps = [{path.name for path in (tmp_path / name / "evidence").iterdir()} for name in ("ray", "one")]
    assert maps[0] == maps[1]

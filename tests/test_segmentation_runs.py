"""A run that segments is resumed, shared by processes and reported as one that classifies, by the same code."""

from __future__ import annotations

import base64
import io
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from crossd.cards.from_data import model_card
from crossd.checkpoints import save_checkpoint
from crossd.report.strips import class_colour
from crossd.segmentation import segmentation_network
from monai.bundle import ConfigWorkflow
from PIL import Image

from . import configs
from .configs import card_input, csv_rows
from .test_many_processes import RESTARTED, ends_of, rows_of
from .test_many_processes import step as step_of

pytestmark = pytest.mark.slow  # whole runs

ROOT = Path(__file__).resolve().parents[1]
CASES, BAD = 9, "c4"
NETWORK = {"name": "UNet", "channels": [4, 8], "strides": [2]}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`in` with 9 volumes, of which one is cut, and `model.pt`, which finds something in each."""
    folder = tmp_path_factory.mktemp("masks")
    (folder / "in").mkdir()
    affine = np.array([[-1.5, 0, 0, 10], [0, 0, 2.0, -5], [0, 1.0, 0, 3], [0, 0, 0, 1]])
    for case in range(CASES):
        voxels = np.random.default_rng(case).normal(100, 5, (11, 13, 10)).astype(np.float32)
        voxels[2:7, 3 : 5 + case // 2, 2:8] += 100
        nib.save(nib.Nifti1Image(voxels, affine), folder / "in" / f"c{case}.nii.gz")
    (folder / "in" / f"{BAD}.nii.gz").write_bytes(b"\x1f\x8b cut")
    torch.manual_seed(1)
    names = ["background", "low", "high"]
    card = model_card("segmentation", names, NETWORK, card_input(8), 0, "noise", label_values=[0, 1, 4])
    save_checkpoint(folder / "model.pt", segmentation_network(card), card=card)
    return folder


step = partial(step_of, config="inference_segmentation", report_cases=20)


@pytest.fixture(scope="module")
def runs(place: Path) -> dict[str, list[list[int]]]:
    """The same cases in several ways; how the processes of each ended."""
    steps = {
        "whole": [step(place, "whole")],
        "killed": [
            step(place, "killed", kill=(0, "after a line", 3)),
            step(place, "killed", kill=(0, "half of a line written", 2), resume="true"),
            step(place, "killed", resume=True),
        ],
        "two": [step(place, "two", 2)],
        "elastic": [
            step(place, "elastic", 2, kill=(1, "half of a line written", 2)),
            step(place, "elastic", 2, environment=RESTARTED),
        ],
    }
    return ends_of(place, steps)


def test_how_they_ended(runs: dict) -> None:
    assert runs["whole"] == [[2]]  # one case cannot be read
    assert runs["killed"] == [[-9], [-9], [2]]
    assert runs["two"] == [[2, 0]]
    assert runs["elastic"][0][1] == -9
    assert runs["elastic"][1] == [0, 0]


@pytest.mark.parametrize("name", ["killed", "two", "elastic"])
def test_every_way_ends_as_the_run_that_was_left_alone(place: Path, runs: dict, name: str) -> None:
    one, other = place / "whole", place / name
    for table in ("segmentations.csv", "segmentations.json"):
        assert (other / table).read_bytes() == (one / table).read_bytes()
    masks = [{path.name: path.read_bytes() for path in (folder / "masks").iterdir()} for folder in (one, other)]
    assert masks[0] == masks[1]
    assert len(masks[0]) == CASES - 1
    assert rows_of(one / "report.html") == rows_of(other / "report.html")
    assert not list((other / "journal").glob("report_*"))


def test_a_case_that_failed_has_its_reason(place: Path, runs: dict) -> None:
    rows = {row["case"]: row for row in csv_rows(place / "whole" / "segmentations.csv")}
    assert list(rows) == [f"c{case}" for case in range(CASES)]
    assert {name: row["status"] for name, row in rows.items()} == {**dict.fromkeys(rows, "ok"), BAD: "failed"}
    assert f"{BAD}.nii.gz" in rows[BAD]["reason"]
    assert (rows[BAD]["mask"], rows[BAD]["voxels_low"]) == ("", "")


def test_the_page_shows_volumes_and_masks(place: Path, runs: dict) -> None:
    text = (place / "whole" / "report.html").read_text(encoding="utf-8")
    assert "Segmentation report" in text
    assert text.count('class="map mask"') == (CASES - 1) * 3
    assert '<option value="mask">mask</option>' in text
    entries = json.loads((place / "whole" / "segmentations.json").read_text())["cases"]
    volumes = [f"{value:.4f}" for entry in entries for value in (entry["volume_ml"] or {}).values()]
    assert [shown for shown in re.findall(r'data-v="([\d.]*)"', text) if shown] == volumes
    assert text.count(f'style="background:{class_colour(1)}"') == CASES - 1
    assert "a mask of low, high" in text


def test_what_lies_over_a_slice_is_the_mask_that_was_written(place: Path, runs: dict) -> None:
    """In the axial plane, to which the file's first and last axis belong."""
    text = (place / "whole" / "report.html").read_text(encoding="utf-8")
    figure = text[text.index('data-key="') :]
    figure = figure[figure.index("<figure") :]
    shown = list(map(int, re.search(r'data-shown="([\d,]+)"', figure)[1].split(",")))  # type: ignore[index]
    encoded = re.search(r'class="map mask" alt="" src="data:image/png;base64,([^"]+)"', figure)[1]  # type: ignore[index]
    strip = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGBA")
    mask = nib.as_closest_canonical(nib.load(place / "whole" / "masks" / "c0.nii.gz"))  # right, anterior, superior
    values = np.asarray(mask.dataobj)
    shares = []
    for at, picture in zip(shown, np.split(np.asarray(strip), len(shown)), strict=True):
        axial = values[::-1, ::-1, at].T  # rows to posterior, columns to the left
        drawn = np.zeros(picture.shape[:2], int)
        for index, value in ((1, 1), (2, 4)):
            rgb = list(map(int, re.findall(r"\d+", class_colour(index))))
            drawn[(picture[..., :3] == rgb).all(-1) & (picture[..., 3] > 0)] = value
        centres = zip(axial.shape, drawn.shape, strict=True)  # of pixels, in voxels
        rows, columns = (((np.arange(n) + 0.5) * size / n).astype(int) for size, n in centres)
        shares.append((drawn == axial[np.ix_(rows, columns)]).mean())
    assert np.unique(values).size > 1
    assert min(shares) > 0.99  # but for a pixel that lies between two voxels


def segment(place: Path, output: Path, **options: Any) -> ConfigWorkflow:
    given = {"images": str(place / "in"), "weights": str(place / "model.pt"), "output_dir": str(output), **options}
    return configs.run("inference_segmentation", **given)


def test_failed_cases_are_tried_again_when_asked_and_others_kept(place: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("c0", BAD):
        (tmp_path / "in" / f"{name}.nii.gz").write_bytes((place / "in" / f"{name}.nii.gz").read_bytes())
    given = {"images": str(tmp_path / "in"), "report": "false"}
    segment(place, tmp_path / "out", **given)
    written = (tmp_path / "out" / "masks" / "c0.nii.gz").stat().st_mtime_ns
    for options, answered in (({}, 0), ({"retry_failed": "true"}, 1)):
        made = segment(place, tmp_path / "out", resume="true", **given, **options)
        assert made.evaluator.state.iteration == answered
        assert (tmp_path / "out" / "masks" / "c0.nii.gz").stat().st_mtime_ns == written
    with pytest.raises(SystemExit) as ended:
        made.finalize()
    assert ended.value.code == 2
    assert not (tmp_path / "out" / "report.html").exists()
    configs.refused(
        lambda: segment(place, tmp_path / "out", resume="true", overlap=0.25, **given),
        "overlap was 0.5 and is 0.25. Give the same settings",
    )


def test_nothing_could_be_segmented(place: Path, tmp_path: Path) -> None:
    made = segment(place, tmp_path / "out", images=str(place / "in" / f"{BAD}.nii.gz"))
    with pytest.raises(SystemExit) as ended:
        made.finalize()
    assert ended.value.code == 1

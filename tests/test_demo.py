"""`make demo`: its input is readable, NIfTI and DICOM agree, and its last step shows the table and the maps."""

from __future__ import annotations

import csv
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from crossd.cli import main
from crossd.cli.demo import show_predictions
from crossd.data import find_cases, preprocessing

from .configs import csv_rows

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def run_script(monkeypatch):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        try:
            runpy.run_path(str(ROOT / "scripts" / name), run_name="__main__")
        except SystemExit as end:
            return end.code
        return 0

    return run


def test_the_same_volume_comes_as_nifti_and_as_dicom(run_script, tmp_path, capsys):
    assert run_script("make_demo_data.py", "--output_dir", tmp_path, "--cases", 1) == 0
    assert "2 NIfTI volumes and a DICOM series of 64 slices" in capsys.readouterr().out
    cases = find_cases(tmp_path)
    assert [case["error"] for case in cases] == [None] * 3
    nifti, series, healthy = sorted(cases, key=lambda case: case["case"])
    intensity = {"mode": "range", "lower": None, "upper": None}
    card_input = {"channels": ["image"], "plane": "axial", "spacing": [1.0, 1.0, 1.0], "intensity": intensity}
    read = preprocessing({**card_input, "roi_size": [64, 64, 64], "mean": 0.0, "std": 1.0})
    volumes = [read({"image": case["image"]})["image"].as_tensor() for case in (nifti, series, healthy)]
    torch.testing.assert_close(volumes[0], volumes[1], atol=1e-5, rtol=0)
    assert not torch.equal(volumes[0], volumes[2])


def test_predictions_are_shown_as_a_table(tmp_path, capsys):
    with (tmp_path / "predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["case", "source", "probability_a"], ["first", "/far/away", "0.25"]])
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "first.nii.gz").touch()
    show_predictions(tmp_path)
    shown = capsys.readouterr().out
    assert "case   probability_a\nfirst  0.25\n" in shown
    assert "/far/away" not in shown
    assert f"1 files in {tmp_path / 'evidence'}" in shown


def test_no_cases_are_no_demo(tmp_path, capsys):
    assert main(["demo", "--cases", "0", "--output_dir", str(tmp_path)]) == 1
    assert "error: --cases must be at least 1, got 0." in capsys.readouterr().err


def test_a_data_set_that_is_not_there_ends_with_its_reason(run_script, tmp_path, capsys):
    arguments = ("--dataset", "vesselmnist3d", "--root", tmp_path, "--output_dir", tmp_path)
    assert run_script("prepare_datalist.py", *arguments) == 1
    assert "error: The official file vesselmnist3d_64.npz is needed" in capsys.readouterr().err


@pytest.mark.slow
def test_make_demo(tmp_path):
    for name in ("configs", "models", "scripts", "Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "ready").touch()  # the packages are there: nothing to install
    binaries = Path(sys.executable).parent
    done = subprocess.run(
        ["make", "demo", f"BIN={binaries}", "READY=ready"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    rows = {row["case"]: row for row in csv_rows(tmp_path / "demo" / "output" / "predictions.csv")}
    assert len(rows) == 7
    assert {row["status"] for row in rows.values()} == {"ok"}
    (series,) = (row for case, row in rows.items() if case.startswith("aneurysm_0_dicom"))
    for column in ("probability_healthy", "probability_aneurysm"):
        assert float(series[column]) == pytest.approx(float(rows["aneurysm_0"][column]), abs=1e-4)
    assert "evidence maps: 7 files" in done.stdout

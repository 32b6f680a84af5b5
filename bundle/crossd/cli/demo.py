"""`crossd demo`: phantom vessels through the shipped model."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from crossd.cli.help import add_command, print_columns, say
from crossd.cli.runs import RUNS, run_config
from crossd.data.delimited import read_table
from crossd.data.dicom.writing import write_dicom_series
from crossd.data.nifti import axial_to_stored, write_nifti
from crossd.data.phantoms import vessel_phantom
from crossd.errors import CrossDError


def add_demo(commands: Any) -> None:
    """`crossd demo`: phantom vessels through the shipped model."""
    parser = add_command(
        commands,
        "demo",
        "make phantom vessels as NIfTI and DICOM, classify them with the shipped model, and show the table",
        "crossd demo",
    )
    parser.add_argument("--output_dir", type=Path, default=Path("demo"), help="default: %(default)s")
    parser.add_argument("--cases", type=int, default=3, help="of each class; default: %(default)s")
    parser.set_defaults(run=_demo)


def _demo(given: argparse.Namespace) -> int:
    if given.cases < 1:
        raise CrossDError(f"--cases must be at least 1, got {given.cases}. Pass --cases 3.")
    folder = given.output_dir.absolute()
    for part in ("input", "output"):
        shutil.rmtree(folder / part, ignore_errors=True)
    say(write_demo_data(folder / "input", given.cases))
    values = {"images": str(folder / "input"), "output_dir": str(folder / "output")}
    code = 0
    try:
        code = run_config(RUNS["predict"], argparse.Namespace(config=[], bundle=None, **values))
    except SystemExit as end:
        code = int(end.code or 0)
    show_predictions(folder / "output")
    return code


def write_demo_data(folder: Path, cases: int) -> str:
    """Write phantom vessels as NIfTI files, and one of them as a DICOM series too, and say so in a line.

    Args:
        cases: of each class, healthy and aneurysm.
    """
    for seed in range(cases):
        for name, aneurysm in (("healthy", False), ("aneurysm", True)):
            write_nifti(folder / f"{name}_{seed}.nii.gz", vessel_phantom(seed, aneurysm))
    stored, voxel_to_world = axial_to_stored(vessel_phantom(0, aneurysm=True))
    series = folder / "aneurysm_0_dicom"  # the volume of aneurysm_0.nii.gz: the same answer is due
    slices = write_dicom_series(series, stored, voxel_to_world, description="phantom")
    return f"{2 * cases} NIfTI volumes and a DICOM series of {len(slices)} slices in {folder}"


def show_predictions(folder: Path) -> None:
    """Print the table of an inference run, and where its report and its maps of the evidence are."""
    table = read_table(folder / "predictions.csv")
    header = [name for name in table.columns if name != "source"]
    say("")
    print_columns([header, *([row[name] for name in header] for row in table.rows)])
    maps = sorted((folder / "evidence").glob("*.nii.gz"))
    say("")
    say(f"table: {folder / 'predictions.csv'} (and predictions.json)")
    say(f"evidence maps: {len(maps)} files in {folder / 'evidence'}; open one over its input, in any NIfTI viewer")
    if (folder / "report.html").is_file():
        say(f"report: {(folder / 'report.html').absolute().as_uri()} (open it in a browser)")

"""What the clients share: environments, the bundle, the series, and the answers that become docs/clients.md.

`make test-clients` makes the environments first (`environments.py`); without them these tests are skipped. The code of
each client is taken from the guide.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from crossd.data.dicom.writing import write_dicom_series
from crossd.data.nifti import axial_to_stored
from crossd.data.phantoms import vessel_phantom

from scripts.maintain.zoo import build_zoo_bundle

from . import environments, page

ROOT = Path(__file__).resolve().parents[2]
collect_ignore = ["zoo"]  # a test of the zoo's, run by the zoo's runner
TOLERANCE = 1e-4  # of probabilities
FOUND = page.Found()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slow)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not FOUND.answers:
        return
    terminalreporter.write_line(page.table(FOUND))
    target = os.environ.get("CLIENTS_PAGE")
    if target and not terminalreporter.stats.get("failed") and not terminalreporter.stats.get("error"):
        Path(target).write_text(page.text(FOUND), encoding="utf-8")
        terminalreporter.write_line(f"written to {target}")


@pytest.fixture(scope="session")
def found() -> page.Found:
    return FOUND


@pytest.fixture(scope="session")
def run() -> Callable[..., str]:
    """Run a script in a client's environment, in a folder; `crossd` is installed there where `installed` says so."""

    def run_in(client: str, folder: Path, *arguments: object, installed: bool = False, timeout: int = 900) -> str:
        if not environments.is_ready(client):
            pytest.skip(f"the environment of {client} is not there: make test-clients makes it")
        drop = ("PYTHONPATH", "VIRTUAL_ENV")
        env = {name: value for name, value in os.environ.items() if name not in drop}
        if installed:
            env["PYTHONPATH"] = str(environments.INSTALLED)
        done = subprocess.run(
            [environments.python(client), "-W", "ignore", *map(str, arguments)],
            cwd=folder,
            env={**env, "OMP_NUM_THREADS": env.get("OMP_NUM_THREADS", "1")},
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done.stdout

    return run_in


@pytest.fixture(scope="session")
def from_guide() -> Callable[[str, str], str]:
    """The code of the page's one Python block that is the file NAME, or that imports NAME."""

    def block(name: str, page: str) -> str:
        blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "guide" / page).read_text("utf-8"), re.M | re.S)
        (code,) = [code for code in blocks if code.startswith(f"# {name}:") or f"import {name}\n" in code]
        return code

    return block


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_zoo_bundle(ROOT, tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def own_bundle(bundle: Path, tmp_path: Path) -> Path:
    """A copy that a test may write to."""
    return Path(shutil.copytree(bundle, tmp_path / bundle.name))


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of one DICOM series each: two that are made, and an oblique one of a scanner where the data is there."""
    folder = tmp_path_factory.mktemp("series")
    for number, name in enumerate(("made_healthy", "made_aneurysm")):
        write_dicom_series(folder / name, *axial_to_stored(vessel_phantom(number, aneurysm=bool(number))))
    made = {path.name: path for path in sorted(folder.iterdir())}
    data = Path(os.environ.get("CROSSD_DATA", ROOT.parent / "shared" / "data")) / "dicom" / "mr_prostate_adc"
    return made | ({data.name: next(data.iterdir())} if data.is_dir() else {})


@pytest.fixture(scope="session")
def expected(bundle: Path, series: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """The probabilities of `bundle run` for each series."""
    folder = tmp_path_factory.mktemp("run")
    with (folder / "cases.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["case", "image"], *((name, path) for name, path in series.items())])
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", bundle / "configs" / "inference.json"]
    options = ["--images", folder / "cases.csv", "--output_dir", folder / "out", "--report", "false"]
    done = subprocess.run([*map(str, command), *map(str, options)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    with (folder / "out" / "predictions.csv").open(newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    answers = {name: probabilities(rows[name]) for name in series}
    for name, answer in answers.items():
        FOUND.answers.append(page.Answer("bundle run", name, answer, 0.0))
    return answers


def probabilities(row: dict[str, str]) -> list[float]:
    names = json.loads((ROOT / "configs" / "metadata.json").read_text())["card"]["class_names"]
    return [float(row[f"probability_{name}"]) for name in names]


@pytest.fixture(scope="session")
def check(expected: dict[str, list[float]]) -> Callable[[str, str, list[float]], None]:
    """Note what a client answers, and hold it against `bundle run`."""

    def compare(client: str, name: str, answer: list[float]) -> None:
        assert len(answer) == len(expected[name])
        difference = max(abs(a - b) for a, b in zip(answer, expected[name], strict=True))
        FOUND.answers.append(page.Answer(client, name, answer, difference))
        assert difference <= TOLERANCE, f"{client} answers {answer} for {name}, bundle run {expected[name]}"

    return compare

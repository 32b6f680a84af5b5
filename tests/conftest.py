"""Fixtures shared by all tests: small threads, seeds, and where the real data is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from . import forks, skips

ROOT = Path(__file__).resolve().parents[1]
collect_ignore = ["kill_driver.py", "process_driver.py"]  # programs, whose folder is on their path


def pytest_configure(config: pytest.Config) -> None:
    skips.register(config)


def pytest_unconfigure() -> None:
    forks.end()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository root, which is also the bundle root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data, by `CROSSD_DATA` or `../shared/data`; tests that need it skip without it."""
    path = Path(os.environ.get("CROSSD_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(
            f"real data not found at {path}: set CROSSD_DATA to a folder laid out as described in tests/README.md"
        )
    return path


@pytest.fixture(autouse=True)
def _seed_and_one_thread() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)  # what is computed is tiny: more threads only wait for each other


@pytest.fixture(scope="session")
def make_chest_xray14():
    """Makes files laid out as the NIH's release of ChestX-ray14, on which its findings can be learnt."""
    import numpy as np
    from PIL import Image

    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    header += "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    cycle = ("No Finding", "Mass", "Effusion|Mass", "Effusion")

    def make(folder: Path, train_val: int = 12, test: int = 4, images: int = 2) -> Path:
        """Patients of so many images; a Mass is a bright square on the left, an Effusion a bright bar at the bottom."""
        random = np.random.default_rng(0)
        lines, names = [header], {"train_val": [], "test": []}
        for patient in range(1, train_val + test + 1):
            for visit in range(images):
                name = f"{patient:08d}_{visit:03d}.png"
                findings = cycle[(patient + visit) % len(cycle)]
                pixels = random.integers(0, 60, (24, 24)).astype(np.uint8)
                if "Mass" in findings:
                    pixels[8:14, 3:9] += 180
                if "Effusion" in findings:
                    pixels[19:23, 2:22] += 180
                path = folder / f"images_{patient % 3 + 1:03d}" / "images" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
                lines.append(f"{name},{findings},{visit},{patient},58,M,PA,2682,2749,0.143,0.143")
                names["train_val" if patient <= train_val else "test"].append(name)
        (folder / "Data_Entry_2017_v2020.csv").write_text("\n".join(lines) + "\n")
        (folder / "train_val_list.txt").write_text("\n".join(names["train_val"]))
        (folder / "test_list.txt").write_text("\n".join(names["test"]) + "\n")
        return folder

    return make

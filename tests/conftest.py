"""Fixtures shared by all tests: small threads, seeds, and where the real data is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


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
def _seed() -> None:
    torch.manual_seed(0)

"""A checkpoint that several tests export."""

from __future__ import annotations

from pathlib import Path

import pytest

from .made import make_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("trained") / "small.pt")

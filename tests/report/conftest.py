"""A report that several tests read."""

from __future__ import annotations

from pathlib import Path

import pytest

from .made import made_cases, run


@pytest.fixture(scope="session")
def made_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`report.html` of four good cases, one that failed and one that was skipped, with Grad-CAM."""
    folder = tmp_path_factory.mktemp("report")
    run(folder, made_cases(), saliency="gradcam", weights="/models/DOE/model.pt")
    return folder / "report.html"

"""The notebooks: stored without outputs, which would go stale, and run from the first cell to the last."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install crossd[dev]")
NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "docs" / "notebooks").glob("*.ipynb"))
WORDS = 90  # of a cell of text at most


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def test_they_are_there():
    assert [path.stem for path in NOTEBOOKS] == ["fine_tune", "operator"]


def test_they_hold_no_outputs_and_short_texts(notebook):
    nbformat.validate(notebook)
    assert {cell.cell_type for cell in notebook.cells} == {"markdown", "code"}
    assert notebook.cells[0].source.startswith("# ")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
        else:
            assert len(cell.source.split()) <= WORDS, cell.source


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_they_run(notebook, tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install crossd[dev]")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install crossd[dev]")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # `!crossd`
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=None, kernel_name="python3", resources=resources).execute()
    shown = [output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [text for text in shown if "error: " in text]  # of `!crossd`, whose exit code the kernel does not see

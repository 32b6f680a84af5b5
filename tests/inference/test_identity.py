"""Names of a case's files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from crossd.inference.identity import file_stems


@pytest.mark.parametrize("folder", ["Пациент Исследование/", "検査/", "e\u0301tude/", "plain folder/"])
def test_long_names_in_any_script_fit_a_file_system(tmp_path: Path, folder: str) -> None:
    """Names are limited in bytes, of which a letter may take four."""
    names = file_stems([folder * 40 + "a", folder * 40 + "b"])
    assert len(set(names)) == 2
    for name in names:
        assert len(os.fsencode(f".{name}.nii.gz.part")) <= 255
        (tmp_path / f"{name}.nii.gz").touch()

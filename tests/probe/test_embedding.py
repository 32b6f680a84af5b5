"""Features for anyone: one row a case, the same from Python and from embed.json, and what could not be read."""

from __future__ import annotations

import builtins
import csv
import shutil

import crossd
import numpy as np
import pytest
from crossd.errors import CrossDError

from .conftest import TINY


def test_one_row_a_case_and_one_column_a_feature(run, volumes, tmp_path):
    found = crossd.embed(volumes, weights="none", views=["slices", "volume"], network_options=TINY)
    assert len(found.cases) == 24
    assert found.values.shape == (24, len(found.columns)) == (24, 64)
    assert found.values.dtype == np.float32
    assert (found.columns[0], found.columns[-1]) == ("slices_0000", "volume_0031")
    assert found.failed == {}
    found.write(tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["case", "source", *found.columns]
    np.testing.assert_allclose(np.array([row[2:] for row in rows[1:]], float), found.values, rtol=1e-5)
    with pytest.raises(CrossDError, match=r"written as \.csv or \.parquet, got .*a\.txt"):
        found.write(tmp_path / "a.txt")


def test_the_config_writes_a_table_and_lists_what_cannot_be_read(run, volumes, tmp_path):
    for file in sorted(volumes.glob("*.nii.gz"))[:3]:
        shutil.copy(file, tmp_path / file.name)
    (tmp_path / "broken.nii.gz").write_bytes(b"nothing")
    with pytest.raises(SystemExit) as end:
        run("embed", images=str(tmp_path))
    assert end.value.code == 2
    folder = tmp_path / "embed"
    assert len((folder / "embeddings.csv").read_text().splitlines()) == 4
    assert (folder / "failed.csv").read_text().splitlines()[1].startswith("broken,")
    (tmp_path / "broken.nii.gz").unlink()
    shutil.rmtree(folder / "cache")
    run("embed", images=str(tmp_path))
    assert not (folder / "failed.csv").exists()


def test_parquet_needs_pyarrow(monkeypatch, tmp_path):
    found = crossd.probe.Embeddings(["a"], ["/a.nii"], ["volume_0000"], np.ones((1, 1), np.float32), {})
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith("pyarrow"):
            raise ImportError("No module named 'pyarrow'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(CrossDError, match=r"written by pyarrow, which is not installed .*Run: pip install pyarrow"):
        found.write(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": "none/there"}, "none/there"),
        ({"size": 3}, "embed takes plane, spacing, intensity, mean, std of a card's input; got size"),
        ({"views": []}, "`views` must name one or more of"),
    ],
)
def test_what_it_refuses(volumes, arguments, message):
    with pytest.raises(CrossDError, match=message):
        crossd.embed(**{"images": volumes, "weights": "none", "network_options": TINY, **arguments})

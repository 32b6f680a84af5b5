"""Rows of large arrays come one at a time, and what is damaged is named."""

from __future__ import annotations

import tracemalloc
import zipfile

import numpy as np
import pytest
from crossd.data.npz_arrays import load_small, npz_array
from crossd.errors import CrossDError


@pytest.mark.parametrize("compressed", [False, True], ids=["stored", "compressed"])
@pytest.mark.parametrize("dtype", ["u1", "<f8", ">i2", "?"])
@pytest.mark.parametrize("shape", [(5, 3, 2), (4,), (1, 2, 3, 4)])
def test_rows_are_those_of_numpy(tmp_path, compressed, dtype, shape):
    values = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    other = np.arange(7)
    (np.savez_compressed if compressed else np.savez)(tmp_path / "a.npz", other=other, images=values, last=other)
    array = npz_array(tmp_path / "a.npz", "images")
    assert (array.shape, array.dtype) == (shape, values.dtype)
    rows = list(array.rows())
    np.testing.assert_array_equal(np.stack(rows), values)


def test_an_array_in_fortran_order(tmp_path):
    values = np.asfortranarray(np.arange(24).reshape(4, 3, 2))
    np.savez_compressed(tmp_path / "a.npz", images=values)
    np.testing.assert_array_equal(np.stack(list(npz_array(tmp_path / "a.npz", "images").rows())), values)


def test_memory_stays_small(tmp_path):
    """64 MB in an array, compressed to 0.06 MB: reading it must not take more than a few rows' worth."""
    path = tmp_path / "large.npz"
    row = np.zeros((1, 1 << 20), np.uint8)
    row[0, 0] = 1
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (64, 1, 1 << 20)}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(64):
            file.write(row.tobytes())
    tracemalloc.start()
    total = sum(int(row.sum()) for row in npz_array(path, "images").rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 64
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: np.savez(path, labels=np.zeros(2)), "must hold the array 'images', got labels"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "is a zip archive of arrays, .* is not"),
        (lambda path: np.savez(path, images=np.array([{}, []], dtype=object)), "holds Python objects in 'images',"),
    ],
    ids=["absent", "no archive", "pickled"],
)
def test_refused(tmp_path, write, message):
    write(tmp_path / "a.npz")
    with pytest.raises(CrossDError, match=message):
        npz_array(tmp_path / "a.npz", "images")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_bytes_that_were_lost_or_changed_are_never_another_error(tmp_path, write):
    """Wherever an archive is damaged, its rows are the ones that were saved or the reason is named."""
    values = np.random.default_rng(0).integers(0, 3, (4, 2000)).astype(np.uint8)  # packs well, unlike noise
    write(tmp_path / "a.npz", labels=np.arange(500), images=values)
    data = (tmp_path / "a.npz").read_bytes()
    refused = 0
    for start in range(0, len(data), 37):
        damaged = bytearray(data)
        damaged[start : start + 8] = bytes(value ^ 0xA5 for value in damaged[start : start + 8])
        (tmp_path / "a.npz").write_bytes(damaged)
        try:
            rows = list(npz_array(tmp_path / "a.npz", "images").rows())
            load_small(tmp_path / "a.npz", "labels")
        except CrossDError as error:
            refused += "a.npz" in str(error)
        else:
            np.testing.assert_array_equal(np.stack(rows), values)
    assert refused > len(data) // 37 // 2


def test_a_header_that_declares_more_than_there_is(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for key, shape in (("images", (9, 100)), ("other", (8, 100))):
            with archive.open(f"{key}.npy", "w") as file:
                np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
                file.write(bytes(800))
    assert len(list(npz_array(path, "other").rows())) == 8
    with pytest.raises(CrossDError, match=r"declares 'images' with shape \(9, 100\) and uint8, which is not what its"):
        npz_array(path, "images")


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_no_rows(tmp_path, write):
    write(tmp_path / "a.npz", images=np.zeros((0, 3, 3), np.uint8))
    assert list(npz_array(tmp_path / "a.npz", "images").rows()) == []


def test_a_member_that_needs_zip64(tmp_path):
    """Its local header has a longer extra field than the directory says."""
    values = np.arange(24, dtype=np.int16).reshape(4, 6)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("readme.txt", "no array")
        with archive.open("images.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, values)
    np.testing.assert_array_equal(np.stack(list(npz_array(tmp_path / "a.npz", "images").rows())), values)
    with pytest.raises(CrossDError, match=r"must hold the array 'readme\.txt', got images\."):
        npz_array(tmp_path / "a.npz", "readme.txt")

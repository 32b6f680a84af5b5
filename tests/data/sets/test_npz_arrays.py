"""Rows of large arrays come one at a time: mapped where they are stored as they are, else read as a stream."""

from __future__ import annotations

import tracemalloc
import zipfile

import numpy as np
import pytest
from crossd.data.sets.npz_arrays import npz_array
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
    assert (array.offset is None) == compressed
    rows = list(array.rows())
    np.testing.assert_array_equal(np.stack(rows), values)


def test_an_uncompressed_array_in_fortran_order(tmp_path):
    values = np.asfortranarray(np.arange(24).reshape(4, 3, 2))
    np.savez(tmp_path / "a.npz", images=values)
    np.testing.assert_array_equal(np.stack(list(npz_array(tmp_path / "a.npz", "images").rows())), values)
    np.savez_compressed(tmp_path / "b.npz", images=values)
    with pytest.raises(CrossDError, match=r"read row by row, .*b\.npz' has 'images' in Fortran order\. Save it again"):
        npz_array(tmp_path / "b.npz", "images")


def test_memory_stays_small(tmp_path):
    """256 MB in an array, compressed to 0.25 MB: reading it must not take more than a few rows' worth."""
    path = tmp_path / "large.npz"
    row = np.zeros((1, 1 << 20), np.uint8)
    row[0, 0] = 1
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (256, 1, 1 << 20)}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(256):
            file.write(row.tobytes())
    tracemalloc.start()
    total = sum(int(row.sum()) for row in npz_array(path, "images").rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 256
    assert peak < 8 << 20


def test_a_stored_array_is_mapped_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 1000), np.uint8))
    row = next(npz_array(tmp_path / "a.npz", "images").rows())
    assert isinstance(row.base, np.memmap)
    assert not row.flags.writeable


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: np.savez(path, labels=np.zeros(2)), "must hold the array 'images', got labels"),
        (lambda path: path.write_bytes(b"<html>not found</html>"), "is a zip archive of arrays, .* is not"),
        (
            lambda path: np.savez(path, images=np.array([{}, []], dtype=object)),
            "holds Python objects in 'images', which could run any code",
        ),
    ],
    ids=["absent", "no archive", "pickled"],
)
def test_refused(tmp_path, write, message):
    write(tmp_path / "a.npz")
    with pytest.raises(CrossDError, match=message):
        npz_array(tmp_path / "a.npz", "images")


def test_a_damaged_stream(tmp_path):
    np.savez_compressed(
        tmp_path / "a.npz", images=np.random.default_rng(0).integers(0, 255, (4, 5000)).astype(np.uint8)
    )
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[9000:9020] = bytes(20)
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(CrossDError, match=r"must be whole, .*a\.npz' (is damaged|ends early)"):
        list(npz_array(tmp_path / "a.npz", "images").rows())

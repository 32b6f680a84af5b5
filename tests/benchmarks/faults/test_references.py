"""The comparison with another converter's volumes counts what is equal, scaled, lost and failed."""

from __future__ import annotations

import nibabel
import numpy as np
from crossd.data import write_dicom_series

from scripts.benchmarks.faults.references import compare, main


def test_equal_scaled_and_lost(tmp_path, capsys):
    volume = np.random.default_rng(0).integers(0, 99, (5, 4, 3)).astype(np.int16)
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    folder = tmp_path / "set"
    for number in range(3):
        write_dicom_series(folder / "In" / str(number), volume + number, affine, description=str(number))
    (folder / "Ref").mkdir()
    turned = (np.flip(volume, (0, 1)), affine @ np.diag([-1.0, -1, 1, 1]) + np.outer([8, 6, 0, 0], [0, 0, 0, -1]))
    nibabel.save(nibabel.Nifti1Image(*turned), folder / "Ref" / "a.nii")
    scaled = np.stack([3.5 * volume + 0.25, volume[::-1]], axis=3).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(scaled, affine), folder / "Ref" / "b.nii")
    found = compare(folder)
    assert (found.expected, found.equal, found.scaled, found.read, found.failed) == (3, 1, 1, 3, 0)
    (folder / "In" / "broken.dcm").write_bytes(b"")
    page = tmp_path / "page.md"
    page.write_text("<!-- references:begin -->\n<!-- references:end -->\n")
    assert main([str(folder), "--page", str(page)]) == 1
    assert "| set | 3 | 1 | 1 | 1 | 3 | 1 | 0 |" in page.read_text()
    assert "| set | 3 |" in capsys.readouterr().out

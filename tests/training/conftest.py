"""A labelled folder of tiny volumes: one class is empty, the other holds a bright cube."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch


@pytest.fixture(scope="session")
def volumes(tmp_path_factory):
    """`images/*.nii.gz` (8 x 8 x 8) and `labels.csv` with 12 training, 6 validation and 6 test cases; a folder."""
    folder = tmp_path_factory.mktemp("volumes")
    (folder / "images").mkdir()
    rng = np.random.default_rng(0)
    lines = ["image,label,patient,split"]
    for case in range(24):
        voxels = rng.normal(100, 10, (8, 8, 8)).astype(np.float32)
        if case % 2:
            voxels[2:6, 2:6, 2:6] += 40
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 1.5, 1])), folder / "images" / f"c{case:02}.nii.gz")
        split = "train" if case < 12 else "val" if case < 18 else "test"
        lines.append(f"c{case:02}.nii.gz,{'cube' if case % 2 else 'empty'},p{case},{split}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the volumes are tiny: more threads only wait for each other
    yield
    torch.set_num_threads(threads)

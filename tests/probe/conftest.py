"""Small volumes with labels, and a workflow of a config whose frozen network is tiny and random."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

TINY = {"backbone": {"depth": 10, "width": 4}, "image_size": 16, "volume_size": 12}
NEEDED = {"weights": "none", "network_options": TINY, "bootstrap_samples": 100, "repeats": 1, "device": "cpu"}


@pytest.fixture(scope="session")
def volumes(tmp_path_factory):
    """24 volumes of 12 patients, where those of every second patient hold a bright cube, and `labels.csv`."""
    folder = tmp_path_factory.mktemp("probe")
    rng = np.random.default_rng(0)
    lines = ["image,label,patient,age,sex"]
    for case in range(24):
        voxels = rng.normal(100, 20, (10, 9, 8)).astype(np.float32)
        ill = case // 2 % 2
        if ill:
            voxels[3:7, 2:6, 2:6] += 50
        nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1, 1, 1.5, 1])), folder / f"c{case:02}.nii.gz")
        lines.append(f"c{case:02}.nii.gz,{'cube' if ill else 'empty'},p{case // 2},{30 + case},{'fm'[case % 3 == 0]}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def run(root, volumes, tmp_path):
    """Runs `probe.json` or `embed.json` on these volumes, in one thread: the folder of its results."""

    def run(config: str = "probe", **options):
        torch.manual_seed(0)
        folder = tmp_path / config
        given = {"images": str(volumes), "output_dir": str(folder), **NEEDED}
        given |= {"labels": str(volumes / "labels.csv")} if config == "probe" else {}
        given = {name: value for name, value in {**given, **options}.items() if value is not None}
        if config == "embed":
            given = {name: value for name, value in given.items() if name not in ("bootstrap_samples", "repeats")}
        workflow = ConfigWorkflow(
            str(root / "configs" / f"{config}.json"), workflow_type="train", logging_file=False, **given
        )
        workflow.initialize()
        workflow.run()
        return folder

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield run
    torch.set_num_threads(threads)

"""MosMedData COVID19_1110: chest CT by how much of the lungs is affected.

Layout: `studies/CT-0/study_0001.nii.gz` … `studies/CT-4/study_1110.nii.gz`; CT-0 is normal, CT-1 up to a quarter of the
lungs affected, CT-2 a quarter to a half, CT-3 a half to three quarters, CT-4 more. The paper's 200 volumes are the
subset of 100 + 100 that a Keras example made popular, folders `CT-0` and `CT-23` (CT-2 and CT-3 together), clipped to
−1000…400 HU, scaled to 0…1 and resized to 128 × 128 × 64. Both layouts are read; the whole release has more cases.
"""

from __future__ import annotations

import os
from pathlib import Path

from crossd.data.sets.facts import DatasetFacts, Found, PaperRow, ReleasedCase
from crossd.errors import one_of

FACTS = DatasetFacts(
    name="mosmed",
    title="MosMedData COVID19_1110",
    task="lungs affected by COVID-19, chest CT",
    address="https://mosmed.ai/datasets/covid19_1110",
    licence="CC BY-NC-ND 3.0",
    class_names=("CT-0", "CT-23"),
    meaning="CT-0 no sign of pneumonia, CT-23 a quarter to three quarters of the lungs affected",
    get="Download COVID19_1110 and unpack it, so that --root holds studies/CT-0 to studies/CT-4; the paper's 200 cases "
    "are CT-0.zip and CT-23.zip of https://github.com/hasibzunair/3D-image-classification-tutorial/releases/tag/v0.2.",
    preset="mosmed.yaml",
    paper=PaperRow("V", 200, (1, 128, 128, 64), (0, 1), 2),
)
TASKS = {
    "ct0_ct23": {"CT-0": "CT-0", "CT-2": "CT-23", "CT-3": "CT-23", "CT-23": "CT-23"},
    "severity": {f"CT-{grade}": f"CT-{grade}" for grade in range(5)},
    "covid": {"CT-0": "CT-0", **{f"CT-{grade}": "CT-1234" for grade in range(1, 5)}},
}


def find_mosmed(root: str | os.PathLike[str], output_dir: str | os.PathLike[str], *, task: str = "ct0_ct23") -> Found:
    """List the studies of a task, in place.

    Args:
        root: holds `studies/CT-0` … or the folders CT-0, CT-23 themselves.
        task: "ct0_ct23" (the paper's), "severity" (all five grades) or "covid" (CT-0 or any other).
    """
    classes = TASKS[one_of("task", task, list(TASKS))]
    root = Path(root)
    folder = next((f for f in (root / "studies", *sorted(root.glob("*/studies")), root) if f.is_dir()), root)
    cases: dict[str, ReleasedCase] = {}
    again = []
    for grade, label in classes.items():
        for path in sorted((*(folder / grade).glob("*.nii"), *(folder / grade).glob("*.nii.gz"))):
            name = path.name.split(".")[0]
            if name in cases:  # the subset's CT-23 beside the release's CT-2 and CT-3, or packed and unpacked
                again.append(f"{grade}/{path.name}")
            elif name:  # not a hidden file
                cases[name] = ReleasedCase((path,), label, name=name)
    if len({case.label for case in cases.values()}) < 2:
        raise FACTS.missing(f"studies in two or more of the folders {', '.join(classes)}", folder)
    names = tuple(dict.fromkeys(classes.values()))
    notes = ["The release names no patients: every study counts as one."]
    if again:
        notes.append(f"{len(again)} files are studies that are listed already and left out: {', '.join(again[:20])}.")
    if task != "ct0_ct23":
        notes.append(f'Task {task} is not that of the preset: train with --classes "{list(names)}".')
    return Found(list(cases.values()), notes=notes, class_names=names)

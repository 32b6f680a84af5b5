"""BraTS21 of the RSNA-MICCAI radiogenomics challenge: brain MR of glioblastoma, MGMT promoter methylated or not.

Layouts, both with `train_labels.csv` (columns BraTS21ID, MGMT_value) beside them or above:

    NIfTI (Task 1, registered to one grid of 240 × 240 × 155 voxels of 1 mm, skull-stripped)
        BraTS2021_00000/BraTS2021_00000_{flair,t1,t1ce,t2}.nii.gz
    DICOM (Task 2, as acquired)
        train/00000/{FLAIR,T1w,T1wCE,T2w}/Image-1.dcm

The label is the methylation of a gene promoter, found in tissue. Every case has a tumour: this is not "presence or
absence of brain tumors", as the paper's appendix says. The organisers name three training cases with unexpected
problems, which may be left out: 00109, 00123 and 00709.
"""

from __future__ import annotations

import os
from pathlib import Path

from crossd.data.delimited import read_table
from crossd.data.sets.facts import DatasetFacts, Found, PaperRow, ReleasedCase
from crossd.errors import CrossDError, one_of

FACTS = DatasetFacts(
    name="brats21",
    title="BraTS21 (RSNA-MICCAI)",
    task="MGMT promoter of a glioblastoma, brain MR",
    address="https://www.kaggle.com/competitions/rsna-miccai-brain-tumor-radiogenomic-classification",
    licence="for research, by the challenge's terms",
    class_names=("unmethylated", "methylated"),
    meaning="Not the presence of a tumour, which every case has, but methylation of the MGMT promoter",
    get="Accept the terms on Kaggle and download the competition's data (DICOM and train_labels.csv); the NIfTI form "
    "is BraTS2021_Training_Data.tar of Synapse syn25829067.",
    count=585,
    preset="brats21.yaml",
    paper=PaperRow("V", 585, (3, 96, 96, 96), (0, 22016), 2),
)
EXCLUDED = ("00109", "00123", "00709")
_DICOM = {"flair": "FLAIR", "t1": "T1w", "t1ce": "T1wCE", "t2": "T2w"}


def find_brats21(
    root: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    modalities: str = "flair,t1ce,t2",
    keep_excluded: bool = False,
) -> Found:
    """List the cases with a label, in place.

    Args:
        root: holds `train_labels.csv` and the folders of the cases, at its top or one folder down.
        modalities: channels, of flair, t1, t1ce and t2, joined by commas. The paper has three and does not name them.
        keep_excluded: keep the three cases with unexpected problems.
    """
    chosen = [one_of("modality", name.strip(), list(_DICOM)) for name in modalities.split(",")]
    root = Path(root)
    table = next(
        (p for p in (root / "train_labels.csv", *sorted(root.glob("*/train_labels.csv"))) if p.is_file()), None
    )
    if table is None:
        raise FACTS.missing("train_labels.csv", root)
    cases, absent, left_out = [], [], []
    for subject, label in _labels(table):
        if subject in EXCLUDED and not keep_excluded:
            left_out.append(subject)
            continue
        images = _images(root, subject, chosen)
        if images is None:
            absent.append(subject)
        else:
            cases.append(ReleasedCase(images, FACTS.class_names[label], patient=subject, name=f"BraTS2021_{subject}"))
    if not cases:
        raise FACTS.missing(f"the folders BraTS2021_00000 or train/00000 with {', '.join(chosen)}", root)
    notes = []
    if left_out:
        notes.append(f"Left out for known problems: {', '.join(left_out)}; --keep_excluded takes them in.")
    if absent:
        notes.append(f"{len(absent)} labelled cases lack a channel here and are left out: {', '.join(absent[:20])}.")
    return Found(cases, notes=notes)


def _labels(table: Path) -> list[tuple[str, int]]:
    read = read_table(table, "train_labels.csv", needed=("BraTS21ID", "MGMT_value"))
    wrong = [row["BraTS21ID"] for row in read.rows if row["MGMT_value"] not in ("0", "1")]
    if wrong:
        raise CrossDError(
            f"MGMT_value is 0 or 1, got another value for {', '.join(wrong)} in {table}. Correct the file."
        )
    return [(row["BraTS21ID"].zfill(5), int(row["MGMT_value"])) for row in read.rows]


def _images(root: Path, subject: str, chosen: list[str]) -> tuple[Path, ...] | None:
    """A path for each channel: NIfTI where it is there, else DICOM folders; None where one is missing."""
    name = f"BraTS2021_{subject}"
    for folder in (root / name, *sorted(root.glob(f"*/{name}"))):
        for suffix in (".nii.gz", ".nii"):
            files = tuple(folder / f"{name}_{modality}{suffix}" for modality in chosen)
            if all(file.is_file() for file in files):
                return files
    below = (root / "train", root, *sorted(root.glob("*/train")), *sorted(root.glob("*")))
    for folder in (top / subject for top in below):
        series = tuple(folder / _DICOM[modality] for modality in chosen)
        if all(one.is_dir() and any(one.iterdir()) for one in series):
            return series
    return None

"""IXI: brain MR of healthy volunteers in London, T1 and T2 as two channels, labelled with the sex.

Layout: `IXI-T1.tar` and `IXI-T2.tar`, archives of `IXI002-Guys-0828-T1.nii.gz` (subject, hospital, scan, contrast)
without a folder, and `IXI.xls`. Files are matched by subject; a channel is resampled onto the first when it is read.
Not every subject has both contrasts, nor a row in the table.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from crossd.data.delimited import read_table
from crossd.data.sets.facts import DatasetFacts, Found, OfficialFile, PaperRow, ReleasedCase, official_file
from crossd.errors import CrossDError, one_of

_URL = "http://biomedic.doc.ic.ac.uk/brain-development/downloads/IXI"
_MD5 = {  # as in the packages torchio and MONAI's tutorials
    "IXI-T1.tar": "34901a0593b41dd19c1a1f746eac2d58",
    "IXI-T2.tar": "e3140d78730ecdd32ba92da48c0a9aaa",
    "IXI-PD.tar": "88ecd9d1fa33cb4a2278183b42ffd749",
    "IXI.xls": "066002afe250e4375d132266fcfceac5",
}
_SEXES = {1: "male", 2: "female"}
_CONTRASTS = ("T1", "T2", "PD")
_NAME = re.compile(r"IXI(\d+)-(?:Guys|HH|IOP)-\d+-(T1|T2|PD)\.nii(?:\.gz)?$")

FACTS = DatasetFacts(
    name="ixi",
    title="IXI",
    task="sex, brain MR",
    address="https://brain-development.org/ixi-dataset/",
    licence="CC BY-SA 3.0",
    class_names=("female", "male"),
    meaning="the sex in IXI.xls (SEX_ID 1 male, 2 female)",
    get="Download IXI-T1.tar, IXI-T2.tar and IXI.xls, or pass --download.",
    preset="ixi.yaml",
    paper=PaperRow("V", 561, (2, 160, 192, 224), (0, 255), 2),
)


def find_ixi(
    root: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    *,
    modalities: str = "T1,T2",
    download: bool = False,
) -> Found:
    """List the subjects with all contrasts and a sex; NIfTI files that are unpacked are used where they are.

    Args:
        root: holds `IXI.xls` (or `IXI.csv`), and the NIfTI files in it or in folders, or the `.tar` archives.
        output_dir: receives `IXI-T1/…` where only the archive is there.
        modalities: channels, of T1, T2 and PD, joined by commas.
        download: get the official files where they are not there.
    """
    root = Path(root)
    chosen = [one_of("modality", name.strip(), _CONTRASTS) for name in modalities.split(",")]
    found = {contrast: _files(root, Path(output_dir), contrast, download) for contrast in chosen}
    sexes, unclear = read_sexes(_table(root, download))
    complete = sorted(set.intersection(*(set(files) for files in found.values())))
    seen = set.union(*(set(files) for files in found.values()))
    cases = [
        ReleasedCase(
            tuple(found[contrast][subject] for contrast in chosen),
            sexes[subject],
            patient=f"IXI{subject:03d}",
            name=f"IXI{subject:03d}",
        )
        for subject in complete
        if subject in sexes
    ]
    if not cases:
        raise FACTS.missing(f"subjects with {' and '.join(chosen)} and a row in its table", root)
    without = [subject for subject in complete if subject not in sexes and subject not in unclear]
    notes = []
    for subjects, why in (
        (sorted(seen - set(complete)), f"have not {' and '.join(chosen)}"),
        (without, "have no sex in the table"),
        ([subject for subject in complete if subject in unclear], "have two sexes in the table"),
    ):
        if subjects:
            listed = ", ".join(f"IXI{subject:03d}" for subject in subjects[:20])
            notes.append(f"{len(subjects)} subjects {why} and are left out: {listed}.")
    return Found(cases, notes=notes)


def _files(root: Path, output_dir: Path, contrast: str, download: bool) -> dict[int, Path]:
    """The file of each subject: unpacked ones, else those of the archive."""
    from monai.apps.utils import extractall

    folder, name = output_dir / f"IXI-{contrast}", f"IXI-{contrast}.tar"
    files = _named(root, contrast) or _named(folder, contrast)
    if not files and (download or (root / name).is_file()):
        archive = _official(name, root, download)
        part = folder.with_name(f"{folder.name}.part")  # so that half of an archive is never taken for all of it
        shutil.rmtree(part, ignore_errors=True)
        extractall(archive, part, file_type="tar", has_base=False)
        part.rename(folder)
        files = _named(folder, contrast)
    if not files:
        raise FACTS.missing(f"IXI002-Guys-0828-{contrast}.nii.gz and so on, or IXI-{contrast}.tar", root)
    return files


def _named(folder: Path, contrast: str) -> dict[int, Path]:
    matches = ((_NAME.match(path.name), path) for path in sorted(folder.rglob("IXI*.nii*")))
    return {int(match[1]): path for match, path in matches if match and match[2] == contrast}


def _table(root: Path, download: bool) -> Path:
    for name in ("IXI.csv", "IXI.xls"):
        if (root / name).is_file():
            return root / name
    if not download:
        raise FACTS.missing("IXI.xls, or its sheet 'Table' as IXI.csv", root)
    return _official("IXI.xls", root, download)


def _official(name: str, root: Path, download: bool) -> Path:
    return official_file(OfficialFile(f"{_URL}/{name}", name, _MD5[name], FACTS.licence), root, download=download)


def read_sexes(path: str | Path) -> tuple[dict[int, str], list[int]]:
    """The sex of each subject, `{IXI number: "male" or "female"}`, and the numbers with two different sexes.

    Some subjects have two rows. Usually one of them is empty (0 in place of the code) and is passed over.

    Args:
        path: IXI.xls, or its sheet `Table` saved as CSV.

    Raises:
        CrossDError: no columns IXI_ID and SEX_ID, or a .xls without the package that reads it.
    """
    path = Path(path)
    rows = _from_xls(path) if path.suffix.lower() == ".xls" else read_table(path, "IXI's table").rows
    said: dict[int, set[str]] = defaultdict(set)
    for row in rows:
        named = {name.upper().split(" ")[0]: cell for name, cell in row.items()}
        if not {"IXI_ID", "SEX_ID"} <= named.keys():
            raise CrossDError(
                f"IXI's table has the columns IXI_ID and SEX_ID (1=m, 2=f), {path} has {', '.join(row)}. "
                "Take the sheet 'Table' of IXI.xls."
            )
        subject, code = _number(named["IXI_ID"]), _number(named["SEX_ID"])
        if subject is not None and code in _SEXES:
            said[subject].add(_SEXES[code])
    return (
        {subject: next(iter(sexes)) for subject, sexes in said.items() if len(sexes) == 1},
        sorted(subject for subject, sexes in said.items() if len(sexes) > 1),
    )


def _from_xls(path: Path) -> Iterable[Mapping[str, object]]:
    try:
        import xlrd
    except ImportError as error:
        raise CrossDError(
            f"The old Excel format is read by the package xlrd, which is not installed, got {path}. "
            "Run `pip install crossd[xls]`, or save the sheet 'Table' as IXI.csv beside it."
        ) from error
    try:
        book = xlrd.open_workbook(path)
    except (xlrd.XLRDError, OSError) as error:
        raise CrossDError(f"IXI.xls is an Excel file, {path} is not ({error}). Download it again.") from error
    sheet = book.sheet_by_name("Table") if "Table" in book.sheet_names() else book.sheet_by_index(0)
    header, *rows = [sheet.row_values(row) for row in range(sheet.nrows)] or [[]]
    return [dict(zip((str(name).strip() for name in header), row, strict=False)) for row in rows]


def _number(cell: object) -> int | None:
    """A whole number, also where Excel stored 2.0; None for an empty cell or a word."""
    try:
        return int(float(str(cell)))
    except (ValueError, OverflowError):
        return None

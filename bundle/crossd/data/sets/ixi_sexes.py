"""The sexes in IXI.xls, with its doubled and empty rows: a sex only where the table says one, and one only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from crossd.data.delimited import read_table
from crossd.errors import CrossDError

_SEXES = {1: "male", 2: "female"}


def read_sexes(path: str | Path) -> tuple[dict[int, str], list[int]]:
    """The sex of each subject.

    The table has two rows for some subjects. Usually one of them is empty (0 in place of the code) and is passed over;
    where both have a sex and the two differ, the subject is left out.

    Args:
        path: IXI.xls, or its sheet `Table` saved as CSV.

    Returns:
        `{IXI number: "male" or "female"}`, and the numbers with two different sexes.

    Raises:
        CrossDError: no columns IXI_ID and SEX_ID, or a .xls without the package that reads it.
    """
    path = Path(path)
    header, rows = _from_xls(path) if path.suffix.lower() == ".xls" else _from_csv(path)
    number = next((name for name in header if name.upper() == "IXI_ID"), None)
    sex = next((name for name in header if name.upper().startswith("SEX_ID")), None)
    if number is None or sex is None:
        raise CrossDError(
            f"IXI's table has the columns IXI_ID and SEX_ID (1=m, 2=f), {path} has {', '.join(header)}. "
            "Take the sheet 'Table' of IXI.xls."
        )
    said: dict[int, set[str]] = defaultdict(set)
    for row in rows:
        code = _number(row[sex])
        if (subject := _number(row[number])) is not None and code in _SEXES:
            said[subject].add(_SEXES[code])
    return (
        {subject: next(iter(sexes)) for subject, sexes in said.items() if len(sexes) == 1},
        sorted(subject for subject, sexes in said.items() if len(sexes) > 1),
    )


def _from_xls(path: Path) -> tuple[Sequence[str], Sequence[Mapping[str, object]]]:
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
    names = [str(name).strip() for name in header]
    return names, [dict(zip(names, row, strict=False)) for row in rows]


def _from_csv(path: Path) -> tuple[Sequence[str], Sequence[Mapping[str, object]]]:
    table = read_table(path, "IXI's table")
    return table.columns, table.rows


def _number(cell: object) -> int | None:
    """A whole number, also where Excel stored 2.0; None for an empty cell or a word."""
    try:
        return int(float(str(cell)))
    except (ValueError, OverflowError):
        return None

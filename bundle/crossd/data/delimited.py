"""Tables, text separated by comma, semicolon or tab or Excel's: read as they were written, each row with its line."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from pathlib import Path

from crossd.errors import CrossDError
from crossd.files import write_whole
from crossd.texts import guarded, unguarded

_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Table:
    """A table as text, without the blanks around names and cells. Lines without any text are left out."""

    path: Path
    columns: tuple[str, ...]  # names in the first line, in their order
    rows: tuple[dict[str, str], ...]  # cells by column; "" where a line ends early
    lines: tuple[int, ...]  # of each row in the file
    widths: tuple[int, ...]  # how many cells each row has

    def lacking(self, columns: Iterable[str]) -> list[str]:
        """Which of some columns are not there."""
        return [name for name in columns if name not in self.columns]

    def refuse(self, rule: str, wrong: Sequence[tuple[int, str]], remedy: str) -> None:
        """Raise a `CrossDError` that names the line of every wrong row, `(index, what is wrong)`, if there is one."""
        if wrong:
            listed = "; ".join(f"line {self.lines[row]}: {what}" for row, what in wrong)
            raise CrossDError(f"{rule}, got in {self.path}: {listed}. {remedy}")


def read_table(
    path: str | os.PathLike[str], what: str = "A table", lower: bool = False, needed: Sequence[str] = ()
) -> Table:
    """Read a table, separated by what its first line has most of; the byte order mark of spreadsheets is passed over.

    Of an Excel file (`.xlsx`) the first sheet is read, by openpyxl: the values that formulas had when it was saved,
    dates as 2024-05-31, whole numbers without a point.

    Args:
        path: of the file, text in UTF-8 or `.xlsx`.
        what: it is, for the message.
        lower: names of columns in lower case, so that `Split` is `split`.
        needed: columns that it must have.

    Raises:
        CrossDError: for a file that cannot be read, is not in UTF-8, no table, or without a needed column.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.csv"
    >>> _ = path.write_text("image;Label\\na.nii; x\\n\\nb.nii\\n")
    >>> table = read_table(path, lower=True)
    >>> table.rows, table.lines
    (({'image': 'a.nii', 'label': 'x'}, {'image': 'b.nii', 'label': ''}), (2, 4))
    """
    path = Path(path)
    columns, lines = _read(path, what, lower, needed)
    kept = list(lines)
    return Table(
        path,
        columns,
        tuple(_row(columns, cells) for _, cells in kept),
        tuple(line for line, _ in kept),
        tuple(len(cells) for _, cells in kept),
    )


def stream_table(
    path: str | os.PathLike[str], what: str = "A table", lower: bool = False, needed: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """A table too long to be held: each row with its line. Arguments and errors: see `read_table`."""
    columns, lines = _read(Path(path), what, lower, needed)
    return ((line, _row(columns, cells)) for line, cells in lines)


def _read(
    path: Path, what: str, lower: bool, needed: Sequence[str]
) -> tuple[tuple[str, ...], Iterator[tuple[int, list[str]]]]:
    lines = _lines(path, what)
    columns = tuple(name.lower() if lower else name for name in next(lines)[1])
    if missing := [name for name in needed if name not in columns]:
        raise CrossDError(
            f"{what} has the columns {', '.join(needed)}: '{path}' lacks {', '.join(missing)}. Add them, or take the "
            "file as it was published."
        )
    return columns, lines


def _lines(path: Path, what: str) -> Iterator[tuple[int, list[str]]]:
    """The header, then the lines with any text, each with its number."""
    if path.suffix.lower() == ".xlsx":
        for number, row in enumerate(_sheet(path, what), 1):
            if number == 1 or any(row):
                yield number, row
        return
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=max(_SEPARATORS, key=first.count))
            yield 1, [unguarded(name.strip()) for name in next(reader, [])]
            for row in reader:
                cells = [unguarded(cell.strip()) for cell in row]
                if any(cells):
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CrossDError(
            f"{what} must be a readable CSV in UTF-8: '{path}' is not ({error}). Save it as CSV (UTF-8)."
        ) from error


def _sheet(path: Path, what: str) -> Iterator[list[str]]:
    """The rows of the first sheet as text, without the empty cells that a spreadsheet keeps at its right."""
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise CrossDError(
            f"{what} in Excel's format is read by openpyxl, which is not installed, got {path}. Run `pip install "
            "crossd[xls]`, or save it as CSV (UTF-8)."
        ) from error
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        rows = [[unguarded(_text(cell)) for cell in row] for row in book.worksheets[0].iter_rows(values_only=True)]
        book.close()
    except Exception as error:  # of zip, XML and openpyxl
        raise CrossDError(
            f"{what} ending in .xlsx must be an Excel workbook: '{path}' is not ({error}). Save it again, or as CSV."
        ) from error
    width = max((i + 1 for i, name in enumerate(rows[0]) if name), default=0) if rows else 0
    for row in rows or [[]]:
        yield row if any(row[width:]) else [*row[:width], *[""] * (width - len(row))]


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime) and cell.time() == time():
        return str(cell.date())
    return "" if cell is None else str(cell).strip()


def _row(columns: Sequence[str], cells: Sequence[str]) -> dict[str, str]:
    return dict(zip(columns, [*cells, *[""] * (len(columns) - len(cells))], strict=False))


def write_table(path: str | os.PathLike[str], header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV, whole or not at all, of which no spreadsheet runs a cell; `read_table` gives the cells back.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.csv"
    >>> write_table(path, ["image", "label"], [("a,b.nii", 1)])
    >>> path.read_text()
    'image,label\\n"a,b.nii",1\\n'
    """
    write_whole(path, b"".join(line(cells) for cells in (header, *rows)))


def line(cells: Iterable[object], end: str = "\n") -> bytes:
    r"""A line of a CSV, for tables that grow; see `crossd.texts.guarded`.

    >>> line(["=1+1", -1.5, "a,b"])
    b'\'=1+1,-1.5,"a,b"\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerow(map(guarded, cells))
    return text.getvalue().encode()

"""A table is read as it was written, whoever wrote it, and what is written reads as it was."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest
from crossd.data.delimited import read_table, stream_table, write_table
from crossd.errors import CrossDError


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_marks_and_ends_of_lines(tmp_path: Path, separator: str, mark: bytes, end: str) -> None:
    lines = [["image", " Label "], ["ä.nii", ' "x, y; z" '.strip()], ["", ""], [" NA ", "1"]]
    path = tmp_path / "a.csv"
    path.write_bytes(mark + end.join(separator.join(cells) for cells in lines).encode())
    table = read_table(path)
    assert table.columns == ("image", "Label")
    assert table.rows == ({"image": "ä.nii", "Label": "x, y; z"}, {"image": "NA", "Label": "1"})
    assert table.lines == (2, 4)


def test_lines_are_those_of_the_file_also_after_cells_of_several_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n"x\ny",1\n\n , \nz\nw,1,2\n')
    table = read_table(path)
    assert table.lines == (3, 6, 7)
    assert table.widths == (2, 1, 3)
    assert table.rows[1:] == ({"a": "z", "b": ""}, {"a": "w", "b": "1"})
    assert list(stream_table(path, lower=True)) == list(zip(table.lines, table.rows, strict=True))
    with pytest.raises(CrossDError, match=r"Cells must be letters, got in .*a\.csv: line 6: one; line 7: two\. Write"):
        table.refuse("Cells must be letters", [(1, "one"), (2, "two")], "Write letters.")
    with pytest.raises(CrossDError, match=r"A list has the columns b, c, d: '.*a\.csv' lacks c, d\. Add them, or take"):
        read_table(path, "A list", needed=["b", "c", "d"])


def test_excel_says_what_the_same_csv_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["image", " Label ", "age", "scanned"], ["ä.nii", "x, y", 61, datetime(2024, 5, 31)], [], ["b", 1.0]):
        book.active.append(row)
    book.active["H1"] = None  # a cell that was cleared
    book.create_sheet("notes").append(["not", "read"])
    book.save(tmp_path / "a.xlsx")
    (tmp_path / "a.csv").write_text('image,Label,age,scanned\nä.nii,"x, y",61,2024-05-31\n\nb,1,,\n')
    excel, text = (read_table(tmp_path / name) for name in ("a.xlsx", "a.csv"))
    assert (excel.columns, excel.rows, excel.lines) == (text.columns, text.rows, text.lines)
    assert excel.widths == (4, 4)
    (tmp_path / "b.xlsx").write_bytes(b"image,label")
    with pytest.raises(CrossDError, match=r"labels ending in .xlsx must be an Excel workbook: '.*b.xlsx' is not"):
        read_table(tmp_path / "b.xlsx", "labels")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(CrossDError, match=r"read by openpyxl, which is not installed, .* or save it as CSV \(UTF-8\)"):
        read_table(tmp_path / "a.xlsx", "labels")


def test_an_empty_file_has_no_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    assert read_table(tmp_path / "a.csv").columns == ()


@pytest.mark.parametrize("content", [None, "image,label\nä.nii,x\n".encode("latin-1"), b'a,b\n"' + b"x" * 200_000])
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CrossDError, match=r"The list must be a readable CSV in UTF-8: '.*a\.csv' is not \(.*\)\. Save"):
        read_table(path, "The list")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.csv"
    write_table(path, ["a", "b"], [("x, y", 1), ('"\n', "ä")])
    assert read_table(path).rows == ({"a": "x, y", "b": "1"}, {"a": '"\n', "b": "ä"})
    write_table(path, ["a"], [["scan\udcff.nii"]])  # names of files are bytes
    assert read_table(path).rows == ({"a": "scan\udcff.nii"},)

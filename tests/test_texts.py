"""Laws: nothing of others does anything where it is shown, numbers stay numbers, our readers give all back."""

from __future__ import annotations

import csv
import logging
import random
import re

import pytest
from crossd.data.delimited import read_table, stream_table, write_table
from crossd.errors import CrossDError
from crossd.inference.answer import Answer, AnswerTables
from crossd.inference.case_dataset import CaseDataset
from crossd.texts import escaped, guarded, printable, unguarded

RUN = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+cmd",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "\n@x",
    "＝1+1",
    "=",
    "'=1",
    "''=1",
]
KEPT = ["-1.5", "+3", "1e-5", "-.5", "-1e+10", "-inf", "-", "a=b", "a-b", "'t Hooft", "C:\\new\\x1b", "", "ä, ö"]
ACTIVE = [
    "\x1b[31mred",
    "a\x00b",
    "a\x7f",
    "a\x85b",
    "a\x9b2J",
    "\u202etxt.exe",
    "a\u2028b",
    "a\nb",
    "a\rb",
    "\udcff.nii",
]
OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")


@pytest.mark.parametrize("cell", [*RUN, *ACTIVE])
def test_a_cell_that_would_do_something_does_not_and_comes_back(cell):
    written = guarded(cell)
    if len(cell) > 1:
        assert written.startswith("'")
    assert not OBEYED.search(written)
    assert unguarded(written) == cell


@pytest.mark.parametrize("cell", [*KEPT, -1.5, -3, True, None])
def test_other_cells_are_left_alone(cell):
    assert guarded(cell) is cell
    assert unguarded(str(cell)) == str(cell)


def test_whatever_is_written_comes_back(tmp_path):
    rng = random.Random(0)
    signs = "=+-@'\\x1bau0 \t\n\r\x00\x1b\x85\u202e\udcff,;\"é1.＝"
    cells = ["".join(rng.choice(signs) for _ in range(rng.randrange(1, 8))).strip(" ") for _ in range(3000)]
    for cell in cells:
        assert unguarded(guarded(cell)) == cell
        assert not OBEYED.search(str(guarded(cell)))
    rows = [[f"n{number}", cell] for number, cell in enumerate(cells)]
    write_table(tmp_path / "a.csv", ["name", "=evil"], rows)
    table = read_table(tmp_path / "a.csv")
    assert table.columns == ("name", "=evil")
    assert [row["=evil"] for row in table.rows] == cells
    assert [row["=evil"] for _, row in stream_table(tmp_path / "a.csv")] == cells


def test_the_tables_of_a_run(tmp_path):
    tables = AnswerTables(tmp_path, "predictions", ["=class"], lambda answer: ["-1.5"], {})
    tables.write([Answer("=1+1", "@/data", "failed", "\x1b[2J")])
    tables.append(Answer("+b", "\u202e", "ok"))
    tables.close()
    raw = (tmp_path / "predictions.csv").read_bytes()
    assert raw.count(b"\r\n") == 3
    text = raw.decode()
    assert not OBEYED.search(text.replace("\r\n", ""))
    cells = [cell for row in csv.reader(text.splitlines()) for cell in row]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@")] == ["-1.5", "-1.5"]
    rows = read_table(tmp_path / "predictions.csv").rows
    assert [(row["case"], row["source"], row["=class"]) for row in rows] == [
        ("=1+1", "@/data", "-1.5"),
        ("+b", "\u202e", "-1.5"),
    ]
    assert not OBEYED.search((tmp_path / "predictions.json").read_text().replace("\n", ""))


def test_a_case_is_printable():
    def fail(item):
        raise OSError(f"no '{item['image']}'")

    (case,) = CaseDataset([{"case": "a\x1bb", "image": "/x/\x1b[31m.nii", "warnings": ["w\x07"]}], fail)
    assert not OBEYED.search("".join([case.case, case.source, case.error or "", *case.warnings]))


def test_errors_are_printable():
    error = CrossDError("A file must be whole: '\x1b]0;title\x07a\nb' is not.")
    assert str(error) == "A file must be whole: '\\x1b]0;title\\x07a\\x0ab' is not."
    assert error.args[0].startswith("A file")


def test_what_the_library_logs_is_printable(caplog):
    """A name cannot pass for another entry of the log, nor move the cursor; other packages' records are left alone."""
    import crossd.training.run_files as module

    with caplog.at_level(logging.INFO):
        code = compile("logger.warning('%s\\n%s', name, 1)", module.__file__, "exec")
        exec(code, {"logger": module.logger, "name": "\x1b[2Ja.pt\nERROR all is lost\r"})
        module.logger.warning("raw \x1b")
    assert caplog.messages == ["\\x1b[2Ja.pt\n    ERROR all is lost\\x0d\n    1", "raw \x1b"]


def test_a_page_is_printable():
    assert escaped("<script>\x1b\u202e</script>") == "&lt;script&gt;\\x1b\\u202e&lt;/script&gt;"


def test_letters_of_all_languages_stay():
    for text in ("sch\u00e4del", "頭部 CT", "جمجمة", "क्ष", "👨\u200d⚕️"):
        assert printable(text) == text

"""Texts of others where people look at them: no character does anything in a terminal, a log, a page or a spreadsheet.

File names, DICOM headers and class names may hold anything. A terminal obeys escape sequences, a log takes a line break
for a new entry, signs of direction show a text in another order, and a spreadsheet runs a cell that begins with `=`.
"""

from __future__ import annotations

import html
import logging
import re
from pathlib import Path, PurePath
from typing import Any

# C0, DEL and C1; signs of direction (Unicode, UAX #9); line and paragraph ends; the byte order mark; lone surrogates
_ACTIVE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_RUNS = re.compile(r"'*\s*[=+\-@＝＋－＠].", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-](?:inf|nan)")
_ESCAPE = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4})")
_GUARDED = re.compile(r"'(?:'*\s*[=+\-@＝＋－＠].|.*\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}))", re.DOTALL)
# A quote opens behind and closes before what is no letter, so that "O'Neill" and "scan's" hold none.
_PATH = re.compile(r"(?<![\w…./\\])(?:[A-Za-z]:)?[/\\](?:[^\s/\\'\"]+[/\\])+([^\s/\\'\"]*)")
_QUOTED = re.compile(r"(?<!\w)(['\"])(?:[A-Za-z]:)?[/\\](?:(?!\1(?!\w)).)*?((?:(?!\1(?!\w))[^/\\])*)\1(?!\w)")
_IN_QUOTES = re.compile(r"(?<!\w)(['\"]).*?\1(?!\w)")
_SERIES = re.compile(r"\bseries \d+, .*?\b\d+ slices\b")  # `Series` as a text: its description is not in quotes
_UID = re.compile(r"\b[0-2](?:\.\d+){3,}\b")


def printable(text: str, keep: str = "") -> str:
    r"""A text in which what a terminal would obey, and bytes that are not UTF-8, are shown by their numbers.

    Args:
        keep: characters that are left as they are, such as a line break.

    >>> printable("\x1b[31mred\n" + b"sch\xe4del".decode(errors="surrogateescape"))
    '\\x1b[31mred\\x0asch\\xe4del'
    """

    def shown(found: re.Match[str]) -> str:
        code = ord(found[0])
        return found[0] if found[0] in keep else _number(code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code)

    return _ACTIVE.sub(shown, text)


def _number(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def escaped(text: str) -> str:
    """A text in HTML.

    >>> escaped("<b>\\x1b")
    '&lt;b&gt;\\\\x1b'
    """
    return html.escape(printable(text, keep="\n"))


def guarded(cell: Any) -> Any:
    r"""A cell as it is written, so that no spreadsheet runs it: `'` in front, and `\x1b` for what is not printable.

    Numbers stay numbers. `unguarded` gives the cell back.

    >>> [guarded(cell) for cell in ("=1+1", "-1.5", -1.5, "\t=x", "a-b", "-")]
    ["'=1+1", '-1.5', -1.5, "'\\x09=x", 'a-b', '-']
    """
    if cell is None or isinstance(cell, (int, float)):
        return cell
    text = str(cell)
    active = _ACTIVE.search(text) or (_RUNS.match(text) and not _NUMBER.fullmatch(text)) or _GUARDED.match(text)
    if not active:
        return cell
    return "'" + _ACTIVE.sub(lambda found: _number(ord(found[0])), text.replace("\\", "\\\\"))


def unguarded(cell: str) -> str:
    r"""What `guarded` was given; other texts are left as they are.

    >>> [unguarded(cell) for cell in ("'=1+1", "'\\x09=x", "'t Hooft", "-1.5")]
    ['=1+1', '\t=x', "'t Hooft", '-1.5']
    """
    if not _GUARDED.match(cell):
        return cell
    return _ESCAPE.sub(lambda found: "\\" if found[1] == "\\" else chr(int(found[1][1:], 16)), cell[1:])


def guard_logs(package: Path) -> None:
    """Make what the modules below a folder log printable, whoever formats it; further lines of an entry are indented.

    Args:
        package: the folder of their source.
    """
    before = logging.getLogRecordFactory()
    inside = f"{package}/"

    def make(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = before(*arguments, **options)
        if Path(record.pathname).as_posix().startswith(Path(inside).as_posix()):
            said = record.getMessage()
            text = printable(said, keep="\n").replace("\n", "\n    ")
            if text != said:
                record.msg, record.args = text, None
        return record

    logging.setLogRecordFactory(make)


def without_folders(text: str, source: str, names: bool = True) -> str:
    """A message about a case with every path cut to its last part.

    Args:
        text: a reason or warning.
        source: the case's path, which may hold blanks.
        names: whether the last parts may be seen; without them a path becomes "…", and so does all that may be a name:
            what stands in quotes, what a series is called, and UIDs.

    >>> without_folders("'/data/DOE JANE/a.nii.gz' has 0 bytes", "/data/DOE JANE/a.nii.gz")
    "'…/a.nii.gz' has 0 bytes"
    >>> without_folders("'/data/DOE JANE/a.nii.gz' has 0 bytes", "/data/DOE JANE/a.nii.gz", names=False)
    "'…' has 0 bytes"
    >>> without_folders("File /data/DOE/b.nii is no gzip file, ratio 1/2", "")
    'File …/b.nii is no gzip file, ratio 1/2'
    """
    path = PurePath(source)
    if path.is_absolute() and len(path.parts) > 1:
        text = text.replace(source, f"…/{path.name}" if names else "…")
    shown = "…/{}" if names else "…"
    text = _QUOTED.sub(lambda found: f"{found[1]}{shown.format(found[2])}{found[1]}", text)
    for folder in path.parents:  # the deepest first; outside of quotes a name may hold blanks
        if path.is_absolute() and len(folder.parts) > 1:
            text = re.sub(rf"{re.escape(str(folder))}/(?:[^\s/\\'\"]+/)*", "…/", text)
    text = _PATH.sub(lambda found: shown.format(found[1]), text)
    if names:
        return text
    text = re.sub(r"…/[^'\"]*(?=['\"])|…/\S*", "…", text)
    return _UID.sub("…", _SERIES.sub("series …", _IN_QUOTES.sub(r"\1…\1", text)))

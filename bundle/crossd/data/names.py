"""Names: of cases, unique and safe as file names; and those in a table that are one name in several spellings."""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence

from crossd.data.delimited import Table
from crossd.errors import CrossDError

_LONGEST = 100  # file systems allow 255 bytes, and an evidence map adds to the name
# What pandas, R, Excel and SQL write where there is no value. `none` is not here: it is said of findings too.
MISSING = {"", "nan", "-nan", "na", "n/a", "#n/a", "#na", "<na>", "null", "nat", "#value!", "#ref!"}
_SHOWN = 5  # lines of one spelling in a message


def safe_name(text: str) -> str:
    """A text as a file name: ASCII letters, digits and `. _ + = -`; long ones are cut and end in a hash.

    >>> safe_name("sub 01/T1w (Kopf, schräg)")
    'sub_01-T1w_Kopf_schrag'
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^\w.+=-]+", "_", plain.replace("/", "-").replace("\\", "-")).strip("._-")
    plain = re.sub(r"_*-_*", "-", plain)
    if not plain:
        plain = "case"
    if len(plain) > _LONGEST:
        plain = f"{plain[: _LONGEST - 9]}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"
    return plain


def unique_names(texts: Iterable[str]) -> list[str]:
    """Safe names, numbered from the second on where they repeat; upper and lower case count as equal.

    The one naming of cases and of their files, in time that grows with their number.

    >>> unique_names(["a b", "A b", "c"])
    ['a_b', 'A_b_2', 'c']
    """
    names: list[str] = []
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # the last that was tried of a name, since all before it are taken
    for text in texts:
        base = name = safe_name(text)
        while name.casefold() in taken:
            number = numbers[base.casefold()] = numbers.get(base.casefold(), 1) + 1
            name = f"{base}_{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def is_missing(text: str) -> bool:
    """Whether a cell says that there is no value.

    >>> is_missing("NaN"), is_missing(" "), is_missing("none")
    (True, True, False)
    """
    return text.strip().casefold() in MISSING


def one_spelling(text: str, case: bool = False) -> str:
    """The same for all spellings of a name: numbers by value, other names without blanks and upper case.

    Args:
        case: upper and lower case are told apart, as in identifiers.

    >>> one_spelling("0") == one_spelling("0.0"), one_spelling("Left lung") == one_spelling("left\u00a0 lung ")
    (True, True)
    >>> one_spelling("T1") == one_spelling("T-1"), one_spelling("Ab", case=True) == one_spelling("ab", case=True)
    (False, False)
    """
    plain = unicodedata.normalize("NFKC", text)
    plain = "".join(sign for sign in plain if not sign.isspace() and unicodedata.category(sign) != "Cf")
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)", plain) and math.isfinite(float(plain)):
        return repr(float(plain) + 0.0)
    return plain if case else plain.casefold()


def several_spellings(names: Iterable[str], case: bool = False) -> list[list[str]]:
    """The names of which there are several spellings, each with its spellings in their order.

    >>> several_spellings(["Yes", "no", "yes", "Yes", "0", "0.0"])
    [['Yes', 'yes'], ['0', '0.0']]
    """
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        found.setdefault(one_spelling(name, case), []).append(name)
    return [spellings for spellings in found.values() if len(spellings) > 1]


def check_spelling(table: Table, what: str, names: Sequence[Sequence[str]], case: bool = False) -> None:
    """Refuse a table that spells a name in several ways; `names` are those of each row, see `refuse_spellings`."""
    lines: dict[str, list[int]] = {}
    for line, row in zip(table.lines, names, strict=True):
        for name in row:
            lines.setdefault(name, []).append(line)
    refuse_spellings(what, lines, str(table.path), case)


def refuse_spellings(what: str, lines: dict[str, list[int]], where: str, case: bool = False) -> None:
    """Refuse names that are one name in several spellings.

    Args:
        what: they are names of.
        lines: where each is, as far as that is known.
        where: the file.

    >>> refuse_spellings("A class", {"Yes": [2, 4], "no": [5]}, "labels.csv")
    """

    def placed(name: str) -> str:
        shown = ", ".join(map(str, lines[name][:_SHOWN]))
        more = f" and {len(lines[name]) - _SHOWN} more" if len(lines[name]) > _SHOWN else ""
        return f"{name!r} in line{'s' * (len(lines[name]) > 1)} {shown}{more}" if lines[name] else repr(name)

    if groups := several_spellings(lines, case):
        listed = "; ".join(" and ".join(map(placed, names)) for names in groups)
        raise CrossDError(
            f"{what} must be spelled in one way, got in {where}: {listed}. Write the same in all of them."
        )

"""Names for cases: readable, unique, and safe as file names."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

_LONGEST = 100  # file systems allow 255 bytes, and an evidence map adds to the name


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

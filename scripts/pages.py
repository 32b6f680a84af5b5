"""Pages with parts that are made: each stands between `<!-- NAME:begin … -->` and `<!-- NAME:end -->`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from crossd.errors import CrossDError
from crossd.files import write_whole


def replace_block(page: str | os.PathLike[str], name: str, text: str) -> str:
    """The page's text with the marked block replaced by `text`.

    Raises:
        CrossDError: when the page cannot be read, or does not have the two marks once.
    """
    try:
        content = Path(page).read_text(encoding="utf-8")
    except OSError as error:
        raise CrossDError(f"A page is written between its marks; {page} cannot be read: {error}. Make it.") from error
    pattern = re.compile(rf"(<!-- {re.escape(name)}:begin[^>]*-->\n).*?(<!-- {re.escape(name)}:end -->)", re.DOTALL)
    found = len(pattern.findall(content))
    if found != 1:
        raise CrossDError(
            f"A page is written between its marks; {page} holds one block from <!-- {name}:begin --> to "
            f"<!-- {name}:end -->, found {found}. Put the two lines where the table belongs."
        )
    return pattern.sub(lambda block: f"{block[1]}{text}\n{block[2]}", content)


def update_page(page: str | os.PathLike[str], name: str, text: str) -> None:
    """Put `text` between the marks of a page.

    Raises:
        CrossDError: see `replace_block`.
    """
    write_whole(page, replace_block(page, name, text))

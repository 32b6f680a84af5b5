"""A page of sections, tables and pictures without a script: the verdict first, in light and dark, printable."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

from crossd.texts import escaped
from crossd.version import __version__

USE = "For research; not a medical device."
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="crossd $version">$refresh
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>
$css
</style>
</head>
<body>
<header><p class="kind">$title</p>
<h1>$verdict</h1>
<p class="use">$use</p></header>
<main>
$sections
</main>
</body>
</html>
""")


def plain_page(title: str, verdict: str, sections: Mapping[str, str], refresh: int | None = None) -> str:
    """The page of a title, a verdict in a sentence or two, and sections of HTML by heading; empty ones are left out.

    A page that grows is read again by the browser every `refresh` seconds.

    >>> "<h1>1 &lt; 2</h1>" in plain_page("Sums", "1 < 2", {})
    True
    """
    css = (files("crossd.report") / "page.css").read_text() + (files("crossd.report") / "plain_page.css").read_text()
    shown = "\n".join(
        f"<section><h2>{escaped(heading)}</h2>{html}</section>" for heading, html in sections.items() if html
    )
    again = "" if refresh is None else f'\n<meta http-equiv="refresh" content="{refresh}">'
    said = {"title": escaped(title), "verdict": escaped(verdict), "use": USE, "sections": shown}
    return _PAGE.substitute(said, version=__version__, css=css, refresh=again)


def table(header: Sequence[str], rows: Iterable[Sequence[object]], first: bool = False) -> str:
    """Texts as a table; `first`: its first row is what the page is about."""
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in header)
    body = "".join(
        f"<tr{' class=first' if first and number == 0 else ''}>"
        f"{''.join(f'<td>{escaped(str(cell))}</td>' for cell in row)}</tr>"
        for number, row in enumerate(rows)
    )
    table = f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="wide-table">{table}</div>'


def facts(said: Mapping[str, str]) -> str:
    """Terms and what is said of them."""
    return (
        '<dl class="facts">'
        + "".join(f"<div><dt>{escaped(term)}</dt><dd>{escaped(text)}</dd></div>" for term, text in said.items())
        + "</dl>"
    )


def pictures(shown: Iterable[tuple[str, *tuple[str, ...]]], large: bool = False) -> str:
    """Pictures side by side: of each the text below it, and its data URI, or several that belong together."""
    figures = []
    for name, *uris in shown:
        images = "".join(f'<img alt="{escaped(name)}" src="{uri}">' for uri in uris)
        figures.append(f"<figure><div>{images}</div><figcaption>{escaped(name)}</figcaption></figure>")
    return f'<div class="plots{" large" * large}">{"".join(figures)}</div>'


def png_uri(path: Path) -> str:
    """A PNG file as a data URI."""
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def bullets(lines: Iterable[str]) -> str:
    """A list; nothing for no lines."""
    items = "".join(f"<li>{escaped(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""

"""The messages that the troubleshooting page is keyed by are messages of the source, word for word."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "guide" / "troubleshooting.md"
HEADINGS = re.findall(r"^### `(.+)`$", PAGE.read_text(encoding="utf-8"), re.M)


def text_of(node: ast.AST) -> str:
    """The text of a string expression, with `…` for what is put in when the program runs."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(text_of, node.values))
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return "…"


@pytest.fixture(scope="module")
def messages() -> list[str]:
    found = []
    for path in sorted((ROOT / "bundle" / "crossd").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "CrossDError":
                found += [text_of(node.args[0])]
    return found


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_heading_is_a_message(heading, messages):
    pattern = re.compile(".*".join(map(re.escape, heading.split("…"))))
    assert [message for message in messages if pattern.search(message)], "reworded in the source? quote it anew"


def test_other_words_are_found_out(messages):
    pattern = re.compile(".*".join(map(re.escape, ["An image file must be half: '", "' is truncated"])))
    assert not [message for message in messages if pattern.search(message)]


def test_the_page_has_its_headings():
    assert len(HEADINGS) >= 20

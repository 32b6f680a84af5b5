"""Made parts of pages go between their marks, and nothing else changes."""

from __future__ import annotations

import pytest
from crossd.errors import CrossDError

from scripts.pages import replace_block, update_page

PAGE = (
    "before\n<!-- cpu:begin (made) -->\nold\n<!-- cpu:end -->\n<!-- cpu-again:begin -->\nkept\n<!-- cpu-again:end -->\n"
)


def test_one_block_is_replaced(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    update_page(page, "cpu", r"new \1")
    assert page.read_text() == PAGE.replace("old", r"new \1")
    assert replace_block(page, "cpu-again", "kept") == page.read_text()


@pytest.mark.parametrize(("text", "found"), [("", 0), (PAGE * 2, 2), (PAGE.replace("<!-- cpu:end -->\n", ""), 0)])
def test_marks_that_are_not_there_once(tmp_path, text, found):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(
        CrossDError, match=rf"one block from <!-- cpu:begin --> to <!-- cpu:end -->, found {found}\. Put"
    ):
        update_page(page, "cpu", "new")
    assert page.read_text() == text


def test_a_page_that_cannot_be_read(tmp_path):
    with pytest.raises(CrossDError, match=r"written between its marks; .*none\.md cannot be read: .* Make it"):
        update_page(tmp_path / "none.md", "cpu", "new")

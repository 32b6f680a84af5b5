"""Law: a node is what it says, and nothing that only looks like one."""

from __future__ import annotations

import pytest
from crossd.errors import CrossDError
from crossd.serve.nodes import Node, check_ae_title, parse_node


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("ORTHANC@pacs.example:4242", Node("ORTHANC", "pacs.example", 4242)),
        (" MY PACS @10.0.0.1:104 ", Node("MY PACS", "10.0.0.1", 104)),
        ("CROSSD@:11112", Node("CROSSD", "127.0.0.1", 11112)),
        ("CROSSD@[::1]:11112", Node("CROSSD", "::1", 11112)),
    ],
)
def test_nodes(text, node):
    assert parse_node(text) == node
    assert parse_node(str(node)) == node


@pytest.mark.parametrize(
    "text", ["", "ORTHANC", "ORTHANC@host", "@host:4242", "A@host:0", "A@host:65536", "A@::1:104", "A@h:10x", "A@b@h:1"]
)
def test_what_is_no_node(text):
    with pytest.raises(
        CrossDError, match=r"(?s)(must be AE@host:port.*got --listen '|must have 1 to 16).*(Example|Use)"
    ):
        parse_node(text, "--listen")


@pytest.mark.parametrize("title", ["", "   ", "A\\B", "SEVENTEEN LETTERS", "ÄE", "A\nB"])
def test_what_is_no_ae_title(title):
    with pytest.raises(
        CrossDError, match=r"must have 1 to 16 plain characters and no backslash, got --allow .* Use the"
    ):
        check_ae_title(title)

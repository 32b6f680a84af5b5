"""DICOM nodes as they are written on a command line: `AE@host:port`."""

from __future__ import annotations

import re
from typing import NamedTuple

from crossd.errors import CrossDError

LOOPBACK = "127.0.0.1"
_NODE = re.compile(r"(?P<ae>[^@]+)@(?:\[(?P<six>[^\]]*)\]|(?P<host>[^:@\s\[\]]*)):(?P<port>\d{1,5})")


class Node(NamedTuple):
    """One end of a DICOM association: an application entity title and where it listens."""

    ae_title: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.ae_title}@{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


def parse_node(text: str, option: str = "--send") -> Node:
    """Read `AE@host:port`; without a host it is this machine, reached by loopback only.

    Raises:
        CrossDError: when it is not of this form.

    >>> parse_node("ORTHANC@pacs.example:4242")
    Node(ae_title='ORTHANC', host='pacs.example', port=4242)
    >>> parse_node("CROSSD@:11112").host
    '127.0.0.1'
    """
    found = _NODE.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"]) < 65536:
        raise CrossDError(
            f"A DICOM node must be AE@host:port with a port of 1 to 65535, got {option} {text!r}. "
            "Example: ORTHANC@127.0.0.1:4242."
        )
    return Node(check_ae_title(found["ae"], option), found["six"] or found["host"] or LOOPBACK, int(found["port"]))


def check_ae_title(text: str, option: str = "--allow") -> str:
    r"""An application entity title without the blanks around it (PS3.5, table 6.2-1, AE).

    >>> check_ae_title(" ORTHANC ")
    'ORTHANC'
    >>> check_ae_title("A\\B")
    Traceback (most recent call last):
        ...
    crossd.errors.CrossDError: An AE title must have 1 to 16 plain characters and no backslash, got --allow 'A\\B'. ...
    """
    title = text.strip()
    if not 0 < len(title) <= 16 or "\\" in title or not (title.isascii() and title.isprintable()):
        raise CrossDError(
            f"An AE title must have 1 to 16 plain characters and no backslash, got {option} {text!r}. "
            "Use the one that the other side is configured with."
        )
    return title

"""Serving where scans arrive: a watched folder, and DICOM nodes before and behind it."""

from crossd.serve.journal import Journal
from crossd.serve.nodes import Node, parse_node
from crossd.serve.watch import JOURNAL, STATE, Settings, make_state, watch

__all__ = ["JOURNAL", "STATE", "Journal", "Node", "Settings", "make_state", "parse_node", "watch"]

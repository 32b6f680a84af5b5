"""Serving where scans arrive: a watched folder, and DICOM nodes before and behind it."""

from crossd.serve.ledger import Ledger
from crossd.serve.nodes import Node, parse_node
from crossd.serve.watch import LEDGER, STATE, Settings, make_state, watch

"""Checkpoints: written whole or not at all, read without running code, transferred with a report."""

from crossd.cards.rules import check_card
from crossd.checkpoints.checkpoint_files import read_card, read_checkpoint, save_checkpoint
from crossd.checkpoints.find_weights import pretrained
from crossd.checkpoints.registry import PRETRAINED, Pretrained
from crossd.checkpoints.transfer import load_pretrained
from crossd.checkpoints.transfer_report import TransferReport

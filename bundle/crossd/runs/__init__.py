"""Runs over many cases, of which some may be unreadable: the same for classifying and for segmenting."""

from crossd.runs.bundle_runs import classification_run, segmentation_run
from crossd.runs.case_run import CaseRun

__all__ = ["CaseRun", "classification_run", "segmentation_run"]

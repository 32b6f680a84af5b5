"""The stored runs of the segmentation benchmark, with the metrics of every test case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from crossd.segmentation.case_scores import METRICS

from scripts.benchmarks.runs.grid import Block
from scripts.benchmarks.runs.store import DIGITS, StoredRuns


@dataclass(frozen=True)
class Tested:
    """The test cases of a run.

    Attributes:
        cases: names.
        classes: without the background.
        values: by metric, `(cases, classes)`; nan where it is not defined.
    """

    __test__ = False  # for pytest, which takes the name for that of a test

    cases: tuple[str, ...]
    classes: tuple[str, ...]
    values: Mapping[str, np.ndarray]

    @property
    def dice(self) -> np.ndarray:
        """Mean over the classes, `(cases,)`; a class that neither mask has is left out."""
        return np.nanmean(self.values["dice"], axis=1)


class Results(StoredRuns):
    """A file of segmentation runs; see `StoredRuns`."""

    def write(
        self, block: Block, method: str, result: Mapping[str, Any], cases: Sequence[str], rows: Sequence[Mapping]
    ) -> None:
        """Store a run: `result`, and of its test cases what `case_metrics` says."""
        classes = list(rows[0])
        stored: dict[str, Any] = {"cases": list(cases), "classes": classes}
        for metric in METRICS:
            values = [[float(row[name][metric]) for name in classes] for row in rows]
            stored[metric] = [[None if v != v else round(v, DIGITS) for v in line] for line in values]
        self.put(block, method, result, stored)

    def read_test(self, block: Block, method: str) -> Tested:
        """The test cases of a run."""
        test = self.test_of(block, method)
        values = {
            metric: np.array([[np.nan if v is None else v for v in line] for line in test[metric]], dtype=float)
            for metric in METRICS
        }
        return Tested(tuple(test["cases"]), tuple(test["classes"]), values)

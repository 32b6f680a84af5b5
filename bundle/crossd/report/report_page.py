"""Write `report.html` while the run goes on: a page that is whole after every case."""

from __future__ import annotations

import logging
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator

from crossd.errors import CrossDError
from crossd.inference import Answer, Case, RunJournal, WindowInferer
from crossd.inference.answer import Explanation
from crossd.inference.case_dataset import reason
from crossd.report.case_pictures import Pictures, pictures_of
from crossd.report.model_facts import model_facts
from crossd.report.page_html import case_html, page
from crossd.report.run_pages import RunPages
from crossd.report.views import View, view_of
from crossd.texts import without_folders

MOST_SLICES = 101  # a JPEG has at most 65 535 rows

NOTE = (
    "The pictures show the volume as the network got it: turned, resampled and scaled by the model's card; slices are "
    "evenly spaced and compressed. They are no substitute for the scan. predictions.csv says more: the "
    "share of validation cases that are less unlike the training cases (unlike), how far members of an ensemble are "
    "apart (disagreement)."
)


class ReportPage:
    """One self-contained page of all cases of a `crossd.case_run.CaseRun`.

    A case is added when it is done, and the page closed again behind it, so memory does not grow with the cases and a
    run that dies leaves a page of what was done. When the page cannot be written the run goes on without it.

    A resumed run takes the cases that it keeps over from the page that is there. Of several processes each writes a
    page of its own in `journal/`, and the first makes one of them when all have done their cases.

    A picture takes at most 5.5 kB a slice and its maps 1.5 kB each, a mask 2.5 kB, times 4/3 in the page: with 25
    slices of the first plane and 12 of the others at most 0.46 MB a case, and 0.1 MB more for Grad-CAM. A row alone
    takes about 1 kB.

    Args:
        output_dir: where `report.html` goes.
        card: the model's card.
        metadata: path of the bundle's `metadata.json`; see `model_facts`.
        weights: the checkpoint's path.
        cases: how many cases have pictures, the first that are read; the others have their row and probabilities.
        slices: of the plane along depth at most, 1 to 101; half as many of the other two.
        names: whether cases are called by their names, which come from file and folder names, or by their numbers.
        saliency: whether there are Grad-CAM maps.

    Raises:
        CrossDError: for numbers out of range, and at the start for a folder that cannot be written.
    """

    def __init__(
        self,
        output_dir: str | Path,
        card: Mapping[str, Any],
        metadata: str | Path | None = None,
        weights: str | None = None,
        cases: int = 200,
        slices: int = 25,
        names: bool = True,
        saliency: bool = False,
    ) -> None:
        if isinstance(cases, bool) or not isinstance(cases, int) or cases < 0:
            raise CrossDError(f"report_cases must be a number of cases, 0 or more, got {cases!r}: 200 is the default")
        if isinstance(slices, bool) or not isinstance(slices, int) or not 1 <= slices <= MOST_SLICES:
            raise CrossDError(f"report_slices must be 1 to {MOST_SLICES} slices, got {slices!r}: 25 is the default")
        self.path = Path(output_dir).absolute() / "report.html"
        self.card = card
        self.facts = model_facts(card, metadata, weights)
        self.cases, self.slices, self.names = cases, slices, names
        self.view: View = view_of(card, saliency)
        self.logger = logging.getLogger(type(self).__name__)
        self.pages = RunPages(self.path, self._row, names)
        self._left, self._kept, self._without = cases, list[int](), 0

    def start(self, engine: SupervisedEvaluator, journal: RunJournal) -> None:
        """Write a page with the cases that a resumed run keeps, or without any."""
        dataset: Any = getattr(engine.data_loader, "dataset", None)
        total = len(dataset) if hasattr(dataset, "__len__") else None
        date = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        facts = {**self.facts, "Run": _run(engine)}
        around = page(self.facts["Model"], date, total, self.view, facts, self._notes())
        # a checkpoint's name may hold bytes that are no text
        head, tail, unfinished = (text.encode(errors="replace") for text in around)
        try:
            order = getattr(dataset, "names", [])
            pictured, self._kept = self.pages.begin(head, tail, unfinished, order, journal)
        except OSError as error:
            raise CrossDError(
                f"output_dir must be a folder that can be written, got {self.path.parent} ({reason(error)}): choose "
                "another by --output_dir, or leave out the report by --report false"
            ) from error
        self._left, self._without = self.cases - pictured, 0

    def add(self, case: Case, said: Mapping[str, Any], explanation: Explanation, answer: Answer) -> None:
        """Add a case."""
        if not self.pages.is_open:
            return
        try:
            self.pages.add(self._case(case, said, explanation, answer), answer)
        except OSError as error:  # the disk is full, say; the table and the maps are what counts
            self.logger.warning(f"the report ends before case {case.case}: {reason(error)}")

    def close(self) -> None:
        """End the page."""
        try:
            whole = self.pages.end()
        except OSError as error:
            self.logger.warning(f"the report was not written: {reason(error)}")
            return
        if whole:
            self.logger.info(f"the report is {self.path} ({os.path.getsize(self.path) / 1e6:.1f} MB)")

    def _case(self, case: Case, said: Mapping[str, Any], explanation: Explanation, answer: Answer) -> str:
        pictures: list[Pictures] = []
        remarks: list[str] = []
        details: dict[str, str] = {}
        if answer.status == "ok" and case.image is not None:
            details = {**self.view.details(said, answer), "Volume": _size(case.image)}
            if self._is_pictured(case.number + 1):
                try:
                    layers = self.view.layers(case, said, explanation)
                    pictures, remarks = pictures_of(case.image, layers, self.card["input"], self.slices)
                except Exception as error:  # whatever a picture can fail of, the row is more important
                    self._without += 1
                    remarks = [f"No pictures: {self._shown(reason(error), case.source)}"]
            else:
                remarks = [f"No pictures: the page holds those of the first {self.cases} cases (report_cases)."]
        else:
            self._without += 1
        return self._html(case.number + 1, case.key, answer, pictures, remarks, details)

    def _is_pictured(self, number: int) -> bool:
        """Whether a case is one of the first that are read, as far as this process knows.

        It does not know which cases of other processes cannot be read, so several may picture fewer, never more.
        """
        before = number - 1 - bisect_left(self._kept, number)
        return before - self._without < self._left

    def _row(self, number: int, key: str, answer: Answer) -> str:
        """A case that was answered by an earlier start of the run, without a report that says as much of names."""
        remarks = ["No pictures: it was answered before this run was resumed, without such a report."]
        return self._html(number, key, answer, [], remarks if answer.status == "ok" else [], {})

    def _html(
        self,
        number: int,
        key: str,
        answer: Answer,
        pictures: Sequence[Pictures],
        remarks: Sequence[str],
        details: dict[str, str],
    ) -> str:
        name = answer.case if self.names else f"case {number}"
        warnings = tuple(self._shown(warning, answer.source) for warning in answer.warnings)
        why = answer.reason and self._shown(answer.reason, answer.source)
        shown = replace(answer, warnings=warnings, reason=why)
        return case_html(number, name, shown, self.view, pictures, remarks, details, key, self.names)

    def _shown(self, text: str, source: str) -> str:
        return without_folders(text, source, self.names)

    def _notes(self) -> list[str]:
        capped = (
            f"Pictures are of the first {self.cases} cases that could be read, {self.slices} slices at most of the "
            f"first plane and {max(1, self.slices // 2)} of the others (report_cases, report_slices)."
        )
        named = (
            "Cases are named after files, folders and series descriptions, never after a patient's name in a DICOM "
            "header; where folders are named after patients, so are cases here. --report_names false numbers them."
            if self.names
            else "Cases are numbered as in the tables, without the names of files and series; what stands in "
            "quotes in messages is left out, since it may be one (report_names)."
        )
        return [NOTE, *self.view.notes, capped, named]


def _size(image: MetaTensor) -> str:
    size = f"{_by(image.shape[1:])} voxels"
    if image.meta.get("has_affine", True):
        size += f" of {_by(image.affine[:3, :3].double().norm(dim=0).tolist())} mm"
    return size


def _by(values: Any) -> str:
    return " × ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)


def _run(engine: SupervisedEvaluator) -> str:
    inferer, where = engine.inferer, f"on {engine.state.device}"
    if isinstance(inferer, WindowInferer):
        return f"windows overlap by {inferer.overlap}, aggregate {inferer.aggregation.method}, {where}"
    return f"windows overlap by {inferer.overlap}, {where}" if hasattr(inferer, "overlap") else where

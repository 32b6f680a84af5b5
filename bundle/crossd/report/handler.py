"""Write `report.html` while the run goes on: a page that is whole after every case."""

from __future__ import annotations

import logging
import os
from bisect import bisect_left
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from ignite.engine import Events
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator

from crossd.errors import CrossDError
from crossd.inference import Journal, WindowInferer, WindowMap
from crossd.inference.cases import Case, reason
from crossd.report.discretion import without_folders
from crossd.report.facts import model_facts
from crossd.report.page import case_html, page
from crossd.report.pictures import Pictures, pictures_of
from crossd.report.run_pages import RunPages

MOST_SLICES = 101  # a JPEG has at most 65 535 rows

NOTES = (
    "The pictures show the volume as the network got it: turned, resampled and scaled by the model's card; slices are "
    "evenly spaced and compressed. They are no substitute for the scan.",
    "Window evidence is, at each voxel, the mean probability of the class over the windows that cover it, from 0 to 1. "
    "It says which windows led to the answer; it is no segmentation and no proof.",
)
SALIENCY_NOTE = (
    "Grad-CAM: activations of a layer weighted by the gradient of the class's logit, per window, averaged where "
    "windows overlap, and divided by the largest value in a window of the case. Colours of two cases do not compare."
)


class ReportWriter:
    """Handler of the inference evaluator: one self-contained page of all cases. It runs after `PredictionWriter`.

    A case is added when it is done, and the page closed again behind it, so memory does not grow with the cases and a
    run that dies leaves a page of what was done. When the page cannot be written the run goes on without it.

    A resumed run takes the cases that it keeps over from the page that is there. Of several processes each writes a
    page of its own in `journal/`, and the first makes one of them when all have done their cases.

    A picture takes at most 5.5 kB a slice and its maps 1.5 kB each, times 4/3 in the page: with 25 slices of the first
    plane and 12 of the others at most 0.46 MB a case, and 0.1 MB more for Grad-CAM. A row alone takes about 1 kB.

    Args:
        output_dir: where `report.html` goes.
        card: the model's card.
        metadata: path of the bundle's `metadata.json`; see `model_facts`.
        weights: the checkpoint's path.
        cases: how many cases have pictures, the first that are read; the others have their row and probabilities.
        slices: of the plane along depth at most, 1 to 101; half as many of the other two.
        names: whether cases are called by their names, which come from file and folder names, or by their numbers.
        saliency: the method of `SaliencyMaps`, where it runs.
        journal: of the run; without it there is nothing to resume.

    Raises:
        CrossDError: for numbers out of range, and at the start for a folder that cannot be written.
    """

    def __init__(
        self,
        output_dir: str | Path,
        card: dict[str, Any],
        metadata: str | Path | None = None,
        weights: str | None = None,
        cases: int = 200,
        slices: int = 25,
        names: bool = True,
        saliency: str | None = None,
        journal: Journal | None = None,
    ) -> None:
        if isinstance(cases, bool) or not isinstance(cases, int) or cases < 0:
            raise CrossDError(f"report_cases must be a number of cases, 0 or more, got {cases!r}: 200 is the default")
        if isinstance(slices, bool) or not isinstance(slices, int) or not 1 <= slices <= MOST_SLICES:
            raise CrossDError(f"report_slices must be 1 to {MOST_SLICES} slices, got {slices!r}: 25 is the default")
        self.path = Path(output_dir).absolute() / "report.html"
        self.card = card
        self.classes: list[str] = list(card["class_names"])
        self.facts = model_facts(card, metadata, weights)
        self.cases, self.slices, self.names, self.saliency = cases, slices, names, saliency
        self.logger = logging.getLogger(type(self).__name__)
        self.pages = RunPages(self.path, journal, self._row, names)
        self._left, self._kept, self._without = cases, list[int](), 0

    def attach(self, engine: SupervisedEvaluator) -> None:
        """Register with the evaluator; MONAI calls this."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)
        engine.add_event_handler(Events.COMPLETED, self.close)

    def start(self, engine: SupervisedEvaluator) -> None:
        """Write a page with the cases that a resumed run keeps, or without any."""
        dataset: Any = getattr(engine.data_loader, "dataset", None)
        total = len(dataset) if hasattr(dataset, "__len__") else None
        around = page(
            self.facts["Model"],
            datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            total,
            self.classes,
            {**self.facts, "Run": _run(engine)},
            self._notes(),
            self.saliency is not None,
        )
        # a checkpoint's name may hold bytes that are no text
        head, tail, unfinished = (text.encode(errors="replace") for text in around)
        try:
            pictured, self._kept = self.pages.begin(head, tail, unfinished, getattr(dataset, "names", []))
        except OSError as error:
            raise CrossDError(
                f"output_dir must be a folder that can be written, got {self.path.parent} ({reason(error)}): choose "
                "another by --output_dir, or leave out the report by --report false"
            ) from error
        self._left, self._without = self.cases - pictured, 0

    def write(self, engine: SupervisedEvaluator) -> None:
        """Add the cases of the evaluator's batch."""
        for case, output in zip(cast(list, engine.state.batch), cast(list, engine.state.output), strict=True):
            if not self.pages.is_open:
                return
            if "entry" not in output:
                raise CrossDError(
                    "a report shows what crossd.inference.PredictionWriter wrote of a case, got a case without it: put "
                    "that handler before the report"
                )
            entry = output["entry"]
            try:
                self.pages.add(self._case(case, output), entry["status"], bool(entry["warnings"]))
            except OSError as error:  # the disk is full, say; the table and the maps are what counts
                self.logger.warning(f"the report ends before case {case['case']}: {reason(error)}")

    def close(self, engine: SupervisedEvaluator | None = None) -> None:
        """End the page."""
        try:
            whole = self.pages.end()
        except OSError as error:
            self.logger.warning(f"the report was not written: {reason(error)}")
            return
        if whole:
            self.logger.info(f"the report is {self.path} ({os.path.getsize(self.path) / 1e6:.1f} MB)")

    def _case(self, case: Case, output: dict[str, Any]) -> str:
        image: MetaTensor = case["image"]
        pictures: list[Pictures] = []
        remarks: list[str] = []
        details: dict[str, str] = {}
        if output["entry"]["status"] == "ok":
            details = _details(image, output)
            if self._is_pictured(case["number"] + 1):
                try:
                    pictures, remarks = pictures_of(image, self._maps(output), self.card["input"], self.slices)
                except Exception as error:  # whatever a picture can fail of, the row is more important
                    self._without += 1
                    remarks = [f"No pictures: {self._shown(reason(error), case['source'])}"]
            else:
                remarks = [f"No pictures: the page holds those of the first {self.cases} cases (report_cases)."]
        else:
            self._without += 1
        return self._html(case["number"] + 1, case["key"], output["entry"], pictures, remarks, details)

    def _is_pictured(self, number: int) -> bool:
        """Whether a case is one of the first that are read, as far as this process knows.

        It does not know which cases of other processes cannot be read, so several may picture fewer, never more.
        """
        before = number - 1 - bisect_left(self._kept, number)
        return before - self._without < self._left

    def _row(self, number: int, key: str, entry: dict[str, Any]) -> str:
        """A case that was classified by an earlier start of the run, without a report that says as much of names."""
        remarks = ["No pictures: it was classified before this run was resumed, without such a report."]
        return self._html(number, key, entry, [], remarks if entry["status"] == "ok" else [], {})

    def _html(
        self,
        number: int,
        key: str,
        entry: dict[str, Any],
        pictures: Sequence[Pictures],
        remarks: Sequence[str],
        details: dict[str, str],
    ) -> str:
        name, source = entry["case"] if self.names else f"case {number}", entry["source"]
        entry = dict(entry)
        entry["warnings"] = [self._shown(warning, source) for warning in entry["warnings"]]
        entry["reason"] = entry["reason"] and self._shown(entry["reason"], source)
        return case_html(number, name, entry, self.classes, pictures, remarks, details, key, self.names)

    def _shown(self, text: str, source: str) -> str:
        return without_folders(text, str(source), self.names)

    def _maps(self, output: dict[str, Any]) -> dict[str, WindowMap]:
        shown = self.classes.index(output["entry"]["evidence_class"])
        saliency = {"saliency": output["saliency"]} if "saliency" in output else {}
        return {"evidence": output["evidence"].map(shown), **saliency}

    def _notes(self) -> Sequence[str]:
        capped = (
            f"Pictures are of the first {self.cases} cases that could be read, {self.slices} slices at most of the "
            f"first plane and {max(1, self.slices // 2)} of the others (report_cases, report_slices)."
        )
        named = (
            "Cases are named after files, folders and series descriptions, never after a patient's name in a DICOM "
            "header; where folders are named after patients, so are cases here. --report_names false numbers them."
            if self.names
            else "Cases are numbered as in predictions.csv, without the names of files and series; what stands in "
            "quotes in messages is left out, since it may be one (report_names)."
        )
        return [*NOTES, *([SALIENCY_NOTE] if self.saliency else []), capped, named]


def _details(image: MetaTensor, output: dict[str, Any]) -> dict[str, str]:
    entry = output["entry"]
    shown = list(entry["probabilities"]).index(entry["evidence_class"])
    said = output["evidence"].probabilities[:, shown].tolist()
    size = f"{_by(image.shape[1:])} voxels"
    if image.meta.get("has_affine", True):
        size += f" of {_by(image.affine[:3, :3].double().norm(dim=0).tolist())} mm"
    return {
        "Maps show": entry["evidence_class"],
        "Windows": f"{len(said)}, saying {min(said):.3f} to {max(said):.3f}" if len(said) > 1 else "1",
        "Volume": size,
    }


def _by(values: Any) -> str:
    return " × ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in values)


def _run(engine: SupervisedEvaluator) -> str:
    inferer = engine.inferer
    if not isinstance(inferer, WindowInferer):
        return f"on {engine.state.device}"
    return f"windows overlap by {inferer.overlap}, aggregate {inferer.aggregation.method}, on {engine.state.device}"

"""Write a Structured Report for each DICOM case of an inference run."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from crossd.bundle import own_metadata
from crossd.cards.tasks import task_of
from crossd.data import Series, find_series
from crossd.data.folders import files_below
from crossd.errors import CrossDError
from crossd.files import replaced
from crossd.inference.answer import Answer
from crossd.inference.case_dataset import Case, reason
from crossd.inference.case_scope import sentence_of
from crossd.inference.classification import evidence_meaning, predicted_classes
from crossd.inference.sr_document import structured_report


class StructuredReports:
    """`structured_reports/<case>.dcm` for each case that came as DICOM.

    Args:
        output_dir: of the run.
        card: the model's card; its `intended_use` and `finding_codes` are used where it has them.
        metadata: `metadata.json` of the bundle, whose `intended_use` holds for the bundle's own model.
        series: the filter that the run chose series by.

    Raises:
        CrossDError: when highdicom is not installed, and for a card of a regression.
    """

    def __init__(
        self,
        output_dir: str | Path,
        card: Mapping[str, Any],
        metadata: str | Path | None = None,
        series: str | Sequence[str] | None = None,
    ) -> None:
        if find_spec("highdicom") is None:
            raise CrossDError(
                "Structured reports are written by highdicom, which is not installed. "
                '`pip install "crossd[dicom]"`, or leave out --dicom_sr.'
            )
        if not task_of(card.get("task")).classifies:
            raise CrossDError(
                f"A structured report states probabilities of classes, got a model that predicts a number, "
                f"{', '.join(card['class_names'])} (task {card['task']}). Leave out --dicom_sr; the number is in "
                "predictions.csv."
            )
        self.folder = Path(output_dir).absolute() / "structured_reports"
        self.card = card
        self.intended_use = card.get("intended_use") or own_metadata(card, metadata).get("intended_use")
        self.series = series
        logging.getLogger("highdicom").setLevel(logging.WARNING)  # it tells of every module that it copies
        self.counts: Counter[str] = Counter()
        self.logger = logging.getLogger(type(self).__name__)

    def start(self) -> None:
        """Make the folder; raises what the disk does."""
        self.counts = Counter()
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, case: Case, answer: Answer) -> Answer:
        """Write the report of a case that has probabilities; its file, or why there is none, is in the answer then."""
        file = self.folder / f"{case.name}.dcm"
        file.unlink(missing_ok=True)  # of an earlier run
        chances = answer.details["probabilities"]
        if chances is None:
            return answer
        try:
            written = self.write(case, chances, answer.warnings, answer.details)
        except Exception as error:  # the answer is worth more than its report
            self.counts["failed"] += 1
            return answer.noting(f"the structured report was not written: {reason(error)}")
        self.counts["not DICOM" if written is None else "written"] += 1
        if written is None:
            return answer
        return replace(answer, files={**answer.files, "structured_report": f"{self.folder.name}/{written.name}"})

    def write(
        self, case: Case, probabilities: Mapping[str, float], noted: Sequence[str], details: Mapping[str, Any]
    ) -> Path | None:
        """Write the report of a case and return its file; None where the case is not DICOM.

        Args:
            noted: what was noted about it.
            details: of its answer: its scope and what its evidence is, where there are any.

        Raises:
            CrossDError: as `structured_report`.
        """
        found = list(_series_of(case.sources, self.series))
        if not found:
            return None
        images, frames = _headers(found)
        with warnings.catch_warnings():  # one of highdicom's quotes the patient's name, which belongs into no log
            warnings.filterwarnings("ignore", "The string .* is unlikely to represent the intended person name")
            report = structured_report(
                images,
                probabilities,
                predicted_classes([probabilities[name] for name in self.card["class_names"]], self.card),
                self.card,
                intended_use=self.intended_use,
                warnings=noted,
                scope=sentence_of(details),
                case=case.case,
                evidence=evidence_meaning(details),
                frames=frames,
            )
        file = self.folder / f"{case.name}.dcm"
        with replaced(file) as part:
            report.save_as(part, enforce_file_format=True)
        return file

    def close(self) -> None:
        """Say how it went, once."""
        self.logger.info(
            f"{self.counts['written']} structured reports are in {self.folder}; {self.counts['failed']} could not be "
            f"written, {self.counts['not DICOM']} cases are not DICOM and have none"
        )


def _series_of(sources: Iterable[Any], choice: str | Sequence[str] | None) -> Iterable[Series]:
    """The DICOM series that the channels of a case were read from."""
    for source in sources:
        if isinstance(source, Series):
            yield source
        else:
            path = Path(source)
            files = files_below(path)[0] if path.is_dir() else [str(path)] * path.is_file()
            found, _ = find_series(files, choice, localizers=path.is_file())
            yield from found[:1]


def _headers(series: Iterable[Series]) -> tuple[list[Any], dict[str, list[int]]]:
    """The data sets of the files without their pixels, each once, and the frames used of multi-frame ones (from 1)."""
    from pydicom import dcmread

    images: dict[str, Any] = {}
    frames: dict[str, list[int]] = {}
    for item in series:
        for index, path in enumerate(item.files):
            if path not in images:
                images[path] = dcmread(path, stop_before_pixels=True)
            if item.frames:
                frames.setdefault(str(images[path].SOPInstanceUID), []).append(item.frames[index] + 1)
    return list(images.values()), {uid: sorted(numbers) for uid, numbers in frames.items()}

"""Write a Structured Report for each DICOM case of an inference run."""

from __future__ import annotations

import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from ignite.engine import Events
from monai.engines import SupervisedEvaluator

from crossd.cards.own_model import is_bundles_own
from crossd.data import Series, find_series
from crossd.data.case_names import safe_name
from crossd.data.folders import files_below
from crossd.errors import CrossDError
from crossd.inference.cases import Case, reason
from crossd.inference.sr_document import structured_report


class StructuredReports:
    """Handler of the inference evaluator: `structured_reports/<case>.dcm` for each case that came as DICOM.

    Put it before the `PredictionWriter`, which then records among the warnings why a report could not be written, and
    as `structured_report` which file it is: a resumed run does a case again whose file is gone.

    Args:
        output_dir: of the run.
        card: the model's card; its `intended_use` and `finding_codes` are used where it has them.
        metadata: `metadata.json` of the bundle, whose `intended_use` holds for the bundle's own model.
        series: the filter that the run chose series by.

    Raises:
        CrossDError: when highdicom is not installed.
    """

    def __init__(
        self,
        output_dir: str | Path,
        card: dict[str, Any],
        metadata: str | Path | None = None,
        series: str | Sequence[str] | None = None,
    ) -> None:
        if find_spec("highdicom") is None:
            raise CrossDError(
                "Structured reports are written by highdicom, which is not installed. "
                '`pip install "crossd[dicom]"`, or leave out --dicom_sr.'
            )
        self.folder = Path(output_dir).absolute() / "structured_reports"
        self.card = card
        self.intended_use = card.get("intended_use") or _bundles_intended_use(card, metadata)
        self.series = series
        logging.getLogger("highdicom").setLevel(logging.WARNING)  # it tells of every module that it copies
        self.counts: Counter[str] = Counter()
        self.logger = logging.getLogger(type(self).__name__)

    def attach(self, engine: SupervisedEvaluator) -> None:
        """Register with the evaluator; MONAI calls this."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)
        engine.add_event_handler(Events.COMPLETED, self.close)

    def start(self, engine: SupervisedEvaluator) -> None:
        """Make the folder."""
        self.counts = Counter()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CrossDError(
                f"output_dir must be a folder that can be written, got {self.folder.parent} ({reason(error)}): choose "
                "another by --output_dir"
            ) from error

    def write(self, engine: SupervisedEvaluator) -> None:
        """Add the reports of the evaluator's batch."""
        for case, output in zip(cast(list, engine.state.batch), cast(list, engine.state.output), strict=True):
            file = self.folder / f"{safe_name(case['case'])}.dcm"
            file.unlink(missing_ok=True)  # of an earlier run
            if case["error"] is not None:
                continue
            try:
                written = self._write(file, case, output["pred"].tolist())
            except Exception as error:  # the answer is worth more than its report
                self.counts["failed"] += 1
                case["warnings"].append(f"the structured report was not written: {reason(error)}")
            else:
                self.counts["written" if written else "not DICOM"] += 1
                if written:
                    case["structured_report"] = f"{self.folder.name}/{file.name}"

    def close(self, engine: SupervisedEvaluator | None = None) -> None:
        """Say how it went, once."""
        self.logger.info(
            f"{self.counts['written']} structured reports are in {self.folder}; {self.counts['failed']} could not be "
            f"written, {self.counts['not DICOM']} cases are not DICOM and have none"
        )

    def _write(self, file: Path, case: Case, probabilities: list[float]) -> bool:
        sources = case.get("sources") or []
        found = list(_series_of(sources if isinstance(sources, (list, tuple)) else [sources], self.series))
        if not found:
            return False
        images, frames = _headers(found)
        names = list(self.card["class_names"])
        best = max(probabilities)
        multilabel = self.card.get("task") == "multilabel"
        chosen = [value >= 0.5 if multilabel else value == best for value in probabilities]
        predicted = [name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen]
        with warnings.catch_warnings():  # one of highdicom's quotes the patient's name, which belongs into no log
            warnings.filterwarnings("ignore", "The string .* is unlikely to represent the intended person name")
            report = structured_report(
                images,
                dict(zip(names, probabilities, strict=True)),
                predicted if multilabel else predicted[:1],
                self.card,
                intended_use=self.intended_use,
                warnings=case["warnings"],
                case=case["case"],
                frames=frames,
            )
        part = file.with_suffix(".part")
        report.save_as(part, enforce_file_format=True)
        part.replace(file)
        return True


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


def _bundles_intended_use(card: dict[str, Any], metadata: str | Path | None) -> str | None:
    """What the bundle's metadata says, if the card is that of the bundle's model."""
    if metadata is None or not Path(metadata).is_file():
        return None
    said = json.loads(Path(metadata).read_text(encoding="utf-8"))
    return said.get("intended_use") if is_bundles_own(card, said) else None

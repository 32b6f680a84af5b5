"""Write each case's answer the moment it is there: into the journal, the tables and the evidence maps."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from torch import Tensor

from crossd.errors import CrossDError
from crossd.inference.cases import Case, reason
from crossd.inference.journal import Journal
from crossd.inference.restore import map_in_input_space, save_map
from crossd.inference.tables import PredictionTables
from crossd.processes import process_count, rank, wait_for_all


def fixed_class(card: dict[str, Any], wanted: str | None = None) -> str | None:
    """The class that the maps of every case show; None where it is the predicted one.

    Args:
        card: the model's card.
        wanted: a class by name; without it the one class that is not the negative one, where there is only one.

    Raises:
        CrossDError: for a class that the model does not have.

    >>> fixed_class({"class_names": ["healthy", "aneurysm"], "negative_class": 0})
    'aneurysm'
    """
    classes = list(card["class_names"])
    if wanted is not None and wanted not in classes:
        raise CrossDError(
            f"evidence_class must be one of the model's classes ({', '.join(classes)}), got {wanted!r}: choose one of "
            "these, or leave it out"
        )
    findings = [name for index, name in enumerate(classes) if index != card.get("negative_class")]
    return wanted or (findings[0] if len(findings) == 1 else None)


class PredictionWriter:
    """Handler of the inference evaluator: one row per case, in the order of the cases.

    - `predictions.csv`: case, source, probability_<class> for each class, predicted_class, status ("ok", "failed", or
      "skipped" for what is no scan: see `crossd.data.find_cases`), reason (why it failed, and warnings). Several
      predicted classes (multilabel: probability of at least 0.5) are joined by ";".
    - `predictions.json`: `{"crossd_version", "model": {...}, "cases": [...]}`; each case says besides the above its
      warnings, the number of windows, its evidence file and the class shown there.
    - `evidence/<case>.nii.gz`: the mean probability of the windows covering each voxel, in the input's own space.
    - `saliency/<case>.nii.gz`: where `SaliencyMaps` ran, its map, likewise.

    One process adds each answer to the tables when it is there, so that they are whole after every case. Each answer
    also goes into the journal of its process, after the other handlers have done what they do with it. From journals
    the tables are made when a run is resumed, and when several processes are done, in one step, by the first.

    Handlers after this one find what was written of a case in its output, as `"entry"`.

    Args:
        output_dir: made when it does not exist; files of an earlier run in it are replaced, unless it is resumed.
        card: the model's card, as `crossd.checkpoints.read_card` returns it.
        weights: the file the weights came from, for `predictions.json`.
        evidence_class: name of the class the maps show. By default the one that is not the negative class; where
            there are several of them the predicted class.
        journal: of the run; by default one that starts anew.

    Raises:
        CrossDError: for an evidence class the model does not have, and at the start for a folder that cannot be
            written, or belongs to a run with other settings.
    """

    def __init__(
        self,
        output_dir: str | Path,
        card: dict[str, Any],
        weights: str | None = None,
        evidence_class: str | None = None,
        journal: Journal | None = None,
    ) -> None:
        self.folder = Path(output_dir).absolute()  # ITK changes the working directory while it loads, in any thread
        self.classes: list[str] = list(card["class_names"])
        self.multilabel = card.get("task") == "multilabel"
        self.evidence_class = fixed_class(card, evidence_class)
        model = {"weights": None if weights is None else str(weights)} | {
            key: card.get(key) for key in ("crossd_version", "data", "task", "class_names", "negative_class")
        }
        self.tables = PredictionTables(self.folder, self.classes, model)
        self.journal = journal or Journal(self.folder)
        self.done = self.failed = self.skipped = 0
        self._first = True
        self.logger = logging.getLogger(type(self).__name__)

    def attach(self, engine: SupervisedEvaluator) -> None:
        """Register with the evaluator; MONAI calls this."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)
        engine.add_event_handler(Events.COMPLETED, self.close)

    def start(self, engine: SupervisedEvaluator) -> None:
        """Make the folder and the files, with the answers that are there already."""
        if not engine.has_event_handler(self.note, Events.ITERATION_COMPLETED):
            engine.add_event_handler(Events.ITERATION_COMPLETED, self.note)  # behind those that are attached
        self._first = rank() == 0
        self._count({})
        try:
            (self.folder / "evidence").mkdir(parents=True, exist_ok=True)
            self.journal.start()
            if self._first:
                kept = (entry for *_, entry in self.journal.entries(self.journal.kept))
                self._count(self.tables.write(kept, stay_open=process_count() == 1))
        except OSError as error:
            raise CrossDError(
                f"output_dir must be a folder that can be written, got {self.folder} ({reason(error)}): choose "
                "another by --output_dir"
            ) from error

    def write(self, engine: SupervisedEvaluator) -> None:
        """Add the cases of the evaluator's batch."""
        for case, output in zip(cast(list, engine.state.batch), cast(list, engine.state.output), strict=True):
            output["entry"] = self.entry(case, output)
            if process_count() == 1:
                self.tables.append(output["entry"])
                self._count({output["entry"]["status"]: 1}, more=True)

    def note(self, engine: SupervisedEvaluator) -> None:
        """Let the cases of the batch count as done, after all handlers have done what they do with them."""
        for case, output in zip(cast(list, engine.state.batch), cast(list, engine.state.output), strict=True):
            self.journal.append(case["name"], case["key"], output["entry"])

    def close(self, engine: SupervisedEvaluator) -> None:
        """Close the files, with all cases in order, and say how it went."""
        self.journal.close()
        self.tables.close()
        wait_for_all()
        if not self._first:
            return
        if process_count() > 1 or self.journal.kept:
            names = cast(Any, engine.data_loader).dataset.names
            self._count(self.tables.write((entry for *_, entry in self.journal.entries(names)), stay_open=False))
        self.journal.finish()
        skipped = f", {self.skipped} entries are no scans and were skipped" if self.skipped else ""
        self.logger.info(
            f"{self.done} of {self.done + self.failed} cases done, {self.failed} failed{skipped}; results are in "
            f"{self.folder.resolve()}"
        )

    def exit(self) -> None:
        """End the process with code 2 when some cases failed and 1 when none is done; return when all are done.

        Of several processes the first does so. Where torch elastic would take that for a lost process and start all of
        them again (`--max_restarts`), it only warns when some cases failed.
        """
        if not self._first or (self.done and not self.failed):
            return
        if self.done and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)):
            self.logger.warning(
                f"{self.failed} cases failed; the exit code does not say so, for torchrun would start again "
                "(--max_restarts)"
            )
            return
        raise SystemExit(2 if self.done else 1)

    def _count(self, statuses: Mapping[str, int], more: bool = False) -> None:
        ok, failed, skipped = (statuses.get(status, 0) for status in ("ok", "failed", "skipped"))
        before = (self.done, self.failed, self.skipped) if more else (0, 0, 0)
        self.done, self.failed, self.skipped = before[0] + ok, before[1] + failed, before[2] + skipped

    def entry(self, case: Case, output: dict[str, Any]) -> dict[str, Any]:
        """What is to be written of a case, whose maps are written here.

        Args:
            case: an item of `CaseDataset`.
            output: what `classify_cases` made of it.
        """
        entry: dict[str, Any] = {
            "case": case["case"],
            "source": case["source"],
            "probabilities": None,
            "predicted_class": None,
            "status": "skipped" if case.get("skipped") else "failed",
            "reason": case["error"],
            "warnings": case["warnings"],
            "windows": None,
            "evidence": None,
            "evidence_class": None,
            "saliency": None,
        }
        if case.get("structured_report"):
            entry["structured_report"] = case["structured_report"]
        name = f"{case['name']}.nii.gz"
        for folder in ("evidence", "saliency"):
            (self.folder / folder / name).unlink(missing_ok=True)  # of an earlier run
        if case["error"] is None:
            probabilities: Tensor = output["pred"]
            entry["probabilities"] = dict(zip(self.classes, map(float, probabilities), strict=True))
            chosen = probabilities >= 0.5 if self.multilabel else probabilities == probabilities.max()
            names = [name for name, is_chosen in zip(self.classes, chosen.tolist(), strict=True) if is_chosen]
            entry["predicted_class"] = ";".join(names if self.multilabel else names[:1])
            entry["windows"] = len(output["evidence"])
            shown = self.evidence_class or self.classes[int(probabilities.argmax())]
            maps = {"evidence": output["evidence"].map(self.classes.index(shown))}
            if "saliency" in output:
                maps["saliency"] = output["saliency"]
            try:
                for kind, window_map in maps.items():
                    values, affine = map_in_input_space(window_map, case["image"])
                    (self.folder / kind).mkdir(exist_ok=True)
                    source = str(case["image"].meta.get("filename_or_obj"))
                    save_map(self.folder / kind / name, values, affine, like=source)
                    entry[kind] = f"{kind}/{name}"
            except Exception as error:  # the disk is full, say; what was computed is kept
                entry |= {"evidence": None, "saliency": None}
                entry["reason"] = f"the evidence map was not written: {reason(error)}"
            else:
                entry |= {"status": "ok", "evidence_class": shown}
        return entry

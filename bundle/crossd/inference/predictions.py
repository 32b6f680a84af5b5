"""Write each case's answer the moment it is there: `predictions.csv`, `predictions.json` and the evidence maps."""

from __future__ import annotations

import csv
import json
import logging
import re
from pathlib import Path
from typing import IO, Any, cast

from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from torch import Tensor

from crossd.errors import CrossDError
from crossd.inference.cases import Case, reason
from crossd.inference.restore import map_in_input_space, save_map
from crossd.version import __version__

JSON_TAIL = "\n]}\n"


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
    """Handler of the inference evaluator: one row per case, in files that are complete after every case.

    - `predictions.csv`: case, source, probability_<class> for each class, predicted_class, status ("ok", "failed", or
      "skipped" for what is no scan: see `crossd.data.find_cases`), reason (why it failed, and warnings). Several
      predicted classes (multilabel: probability of at least 0.5) are joined by ";".
    - `predictions.json`: `{"crossd_version", "model": {...}, "cases": [...]}`; each case says besides the above its
      warnings, the number of windows, its evidence file and the class shown there.
    - `evidence/<case>.nii.gz`: the mean probability of the windows covering each voxel, in the input's own space.
    - `saliency/<case>.nii.gz`: where `SaliencyMaps` ran, its map, likewise.

    Handlers after this one find what was written of a case in its output, as `"entry"`.

    Args:
        output_dir: made when it does not exist; files of an earlier run in it are replaced.
        card: the model's card, as `crossd.checkpoints.read_card` returns it.
        weights: the file the weights came from, for `predictions.json`.
        evidence_class: name of the class the maps show. By default the one that is not the negative class; where
            there are several of them the predicted class.

    Raises:
        CrossDError: for an evidence class the model does not have, and at the start for a folder that cannot be
            written.
    """

    def __init__(
        self,
        output_dir: str | Path,
        card: dict[str, Any],
        weights: str | None = None,
        evidence_class: str | None = None,
    ) -> None:
        self.folder = Path(output_dir).absolute()  # ITK changes the working directory while it loads, in any thread
        self.classes: list[str] = list(card["class_names"])
        self.multilabel = card.get("task") == "multilabel"
        self.evidence_class = fixed_class(card, evidence_class)
        self.model = {"weights": None if weights is None else str(weights)} | {
            key: card.get(key) for key in ("crossd_version", "data", "task", "class_names", "negative_class")
        }
        self.done = self.failed = self.skipped = 0
        self.logger = logging.getLogger(type(self).__name__)
        self._csv: IO[str] | None = None
        self._json: IO[str] | None = None
        self._json_end = 0
        self._names: set[str] = set()

    def attach(self, engine: SupervisedEvaluator) -> None:
        """Register with the evaluator; MONAI calls this."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)
        engine.add_event_handler(Events.COMPLETED, self.close)

    def start(self, engine: SupervisedEvaluator) -> None:
        """Make the folder and the files."""
        self.done = self.failed = self.skipped = self._json_end = 0
        self._names = set()
        try:
            (self.folder / "evidence").mkdir(parents=True, exist_ok=True)
            table = self.folder / "predictions.csv"
            self._csv = table.open("w", newline="", encoding="utf-8", errors="backslashreplace")  # file names are bytes
            self._json = (self.folder / "predictions.json").open("w", encoding="utf-8")
        except OSError as error:
            raise CrossDError(
                f"output_dir must be a folder that can be written, got {self.folder} ({reason(error)}): choose "
                "another by --output_dir"
            ) from error
        columns = [f"probability_{name}" for name in self.classes]
        csv.writer(self._csv).writerow(["case", "source", *columns, "predicted_class", "status", "reason"])
        self._csv.flush()
        head = json.dumps({"crossd_version": __version__, "model": self.model}, indent=1)
        self._add_json(head.removesuffix("\n}") + ',\n "cases": [')

    def write(self, engine: SupervisedEvaluator) -> None:
        """Add the cases of the evaluator's batch."""
        for case, output in zip(cast(list, engine.state.batch), cast(list, engine.state.output), strict=True):
            output["entry"] = self._entry(case, output)
            self._append(output["entry"])

    def close(self, engine: SupervisedEvaluator | None = None) -> None:
        """Close the files and say how it went."""
        for file in (self._csv, self._json):
            if file is not None:
                file.close()
        self._csv = self._json = None
        skipped = f", {self.skipped} entries are no scans and were skipped" if self.skipped else ""
        self.logger.info(
            f"{self.done} of {self.done + self.failed} cases done, {self.failed} failed{skipped}; results are in "
            f"{self.folder.resolve()}"
        )

    def exit(self) -> None:
        """End the process with code 2 when some cases failed and 1 when none is done; return when all are done."""
        if self.failed or not self.done:
            raise SystemExit(2 if self.done else 1)

    def _entry(self, case: Case, output: dict[str, Any]) -> dict[str, Any]:
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
        name = self._file_name(case["case"])
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

    def _append(self, entry: dict[str, Any]) -> None:
        assert self._csv is not None  # start() has run
        probabilities = entry["probabilities"] or {}
        notes = [entry["reason"], *entry["warnings"]]
        csv.writer(self._csv).writerow(
            [
                entry["case"],
                entry["source"],
                *(f"{probabilities[name]:.6f}" if probabilities else "" for name in self.classes),
                entry["predicted_class"] or "",
                entry["status"],
                "; ".join(note for note in notes if note),
            ]
        )
        self._csv.flush()
        separator = ",\n" if self.done + self.failed + self.skipped else "\n"
        self._add_json(separator + json.dumps(entry))
        self.done += entry["status"] == "ok"
        self.failed += entry["status"] == "failed"
        self.skipped += entry["status"] == "skipped"

    def _add_json(self, text: str) -> None:
        """Replace the closing brackets by the text and close again, so that the file is always whole."""
        assert self._json is not None
        self._json.seek(self._json_end)
        self._json.write(text)
        self._json_end = self._json.tell()
        self._json.write(JSON_TAIL)
        self._json.flush()

    def _file_name(self, case: str) -> str:
        """A file name that is safe on every file system, and not used yet."""
        stem = re.sub(r"[^\w.+-]+", "_", case).strip(".")[:150] or "case"
        name, count = stem, 1
        while name.casefold() in self._names:
            count += 1
            name = f"{stem}_{count}"
        self._names.add(name.casefold())
        return f"{name}.nii.gz"

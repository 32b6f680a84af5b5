"""Write each case's mask the moment it is there, and a table of volumes."""

from __future__ import annotations

import csv
import logging
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from ignite.engine import Events
from monai.engines import SupervisedEvaluator

from crossd.data.case_names import safe_name, unique_names
from crossd.errors import CrossDError
from crossd.inference.cases import Case, reason
from crossd.inference.restore import save_map


class MaskWriter:
    """Handler of the evaluator that segments: a mask per case, and one row per case in a table, whole after every case.

    - `masks/<case>.nii.gz`: the value of each voxel's class (uint8, or int16, or int32), on the grid of the input: its
      shape, its affine, its sform and qform codes.
    - `segmentations.csv`: case, source, mask, voxels_<class> and volume_ml_<class> for each class but the background,
      status ("ok", "failed", or "skipped" for what is no scan), reason (why it failed, and warnings).

    Args:
        output_dir: made when it does not exist; files of an earlier run in it are replaced.
        card: the model's card; its `label_values` are what masks hold.

    Raises:
        CrossDError: at the start, for a folder that cannot be written.
    """

    def __init__(self, output_dir: str | Path, card: dict[str, Any]) -> None:
        self.folder = Path(output_dir).absolute()  # ITK changes the working directory while it loads, in any thread
        self.classes = list(card["class_names"])
        values = list(card["label_values"])
        kind = np.uint8 if max(values) <= 255 else np.int16 if max(values) <= 32767 else np.int32
        self.values = np.array(values, dtype=kind)
        self.done = self.failed = self.skipped = 0
        self.logger = logging.getLogger(type(self).__name__)
        self._csv: IO[str] | None = None
        self._names: list[str] = []

    def attach(self, engine: SupervisedEvaluator) -> None:
        """Register with the evaluator; MONAI calls this."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)
        engine.add_event_handler(Events.COMPLETED, self.close)

    def start(self, engine: SupervisedEvaluator) -> None:
        """Make the folder and the table."""
        self.done = self.failed = self.skipped = 0
        self._names = []
        try:
            (self.folder / "masks").mkdir(parents=True, exist_ok=True)
            self._csv = (self.folder / "segmentations.csv").open(
                "w", newline="", encoding="utf-8", errors="backslashreplace"
            )
        except OSError as error:
            raise CrossDError(
                f"output_dir must be a folder that can be written, got {self.folder} ({reason(error)}). Choose another "
                "by --output_dir."
            ) from error
        columns = [f"{kind}_{name}" for name in self.classes[1:] for kind in ("voxels", "volume_ml")]
        self._row(["case", "source", "mask", *columns, "status", "reason"])

    def write(self, engine: SupervisedEvaluator) -> None:
        """Add the cases of the evaluator's batch; each output then holds its row as `"entry"`."""
        for case, output in zip(cast(list, engine.state.batch), cast(list, engine.state.output), strict=True):
            entry = self._entry(case, output)
            output["entry"] = entry
            notes = [entry["reason"], *case["warnings"]]
            self._row(
                [
                    case["case"],
                    case["source"],
                    entry["mask"] or "",
                    *(value for name in self.classes[1:] for value in entry["sizes"].get(name, ("", ""))),
                    entry["status"],
                    "; ".join(note for note in notes if note),
                ]
            )
            self.done += entry["status"] == "ok"
            self.failed += entry["status"] == "failed"
            self.skipped += entry["status"] == "skipped"

    def close(self, engine: SupervisedEvaluator | None = None) -> None:
        """Close the table and say how it went."""
        if self._csv is not None:
            self._csv.close()
        self._csv = None
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
            "mask": None,
            "sizes": {},
            "status": "skipped" if case.get("skipped") else "failed",
            "reason": case["error"],
        }
        self._names = unique_names([*self._names, safe_name(str(case["case"]))])
        name = f"masks/{self._names[-1]}.nii.gz"
        (self.folder / name).unlink(missing_ok=True)  # of an earlier run
        if case["error"] is not None:
            return entry
        mask, affine = output["pred"], output["affine"]
        try:
            source = str(case["image"].meta.get("filename_or_obj"))
            save_map(self.folder / name, self.values[mask], affine, like=source)
        except Exception as error:  # the disk is full, say; the others are done
            entry["reason"] = f"the mask was not written: {reason(error)}"
            return entry
        voxels = np.bincount(mask.ravel(), minlength=len(self.classes))
        millilitres = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
        sizes = {
            label: (int(count), f"{count * millilitres:.4f}") for label, count in zip(self.classes, voxels, strict=True)
        }
        return {**entry, "mask": name, "sizes": sizes, "status": "ok"}

    def _row(self, cells: list[Any]) -> None:
        assert self._csv is not None  # start() has run
        csv.writer(self._csv).writerow(cells)
        self._csv.flush()

"""From a series that has come to rest to reports that wait to be sent."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from ignite.engine import Engine, Events

from crossd.data import Series, find_series
from crossd.errors import CrossDError
from crossd.inference import Case, CaseDataset
from crossd.inference.case_dataset import reason
from crossd.inference.case_scope import details_of, warning_of
from crossd.inference.classification import predicted_classes
from crossd.serve.bundle_inference import Inference
from crossd.serve.folder import Folder
from crossd.serve.ledger import Ledger, Report
from crossd.serve.outbox import Outbox
from crossd.serve.series_versions import Version
from crossd.texts import without_folders

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Desk:
    """The cases of a watched folder, in the order in which their series become complete: an evaluator's data loader.

    It is the evaluator's last handler too: a case that the evaluator is through with is answered, and when the next
    one is asked for, the version of the series that it belonged to goes into outbox and ledger, as a whole.

    Args:
        stop: ends the iteration, after the volume at hand.
        poll: seconds from one look at the folder to the next.
        series: which series are meant, as `crossd.data.find_cases` has it.
        once: whether to end when all that is there has been tried.
        answered: called when there is something to send.
        lost: set when a report is gone from the outbox, so that its series is to be classified again.
    """

    folder: Folder
    ledger: Ledger
    outbox: Outbox
    inference: Inference
    stop: threading.Event
    poll: float = 2.0
    series: str | Sequence[str] | None = None
    once: bool = False
    answered: Callable[[], None] = lambda: None
    lost: threading.Event = field(default_factory=threading.Event)
    _outcomes: list[tuple[str, Mapping[str, Any] | str]] = field(default_factory=list)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.note)

    def note(self, engine: Engine) -> None:
        """Write the reports of the batch, keep what was said of each case, and let go of its voxels."""
        for case, said in zip(cast(list[Case], engine.state.batch), cast(list, engine.state.output), strict=True):
            what = said["error"] if "error" in said else self._answer(case, said)
            self._outcomes.append((case.name, what))
        engine.state.batch = engine.state.output = None

    def __iter__(self) -> Iterator[list[Case]]:
        while not self.stop.is_set():
            self.folder.scan()
            if self.lost.is_set():
                self.lost.clear()
                self.folder.again()
            for key in self.folder.due():
                if self.stop.is_set():
                    return
                version = self.folder.version(key)
                known, number = self.ledger.known(key)
                if version.digests <= known:
                    self._nothing_new(version)
                    continue
                yield from self._classify(version, number + 1)
            if self.once and self.folder.settled():
                return
            self.stop.wait(self.poll)

    def _classify(self, version: Version, number: int) -> Iterator[list[Case]]:
        """The cases of one version; after them, what came of it."""
        try:
            volumes = self._volumes(version)
            if not volumes:
                return
            earlier = self.ledger.reports_of(version.key, number - 1)
            changed = f"Version {number}: the series changed after it was classified; this replaces the report before."
            notes = [changed] if earlier else []
            names = [f"{version.identifier[:16]}{f'-{index}' if index else ''}" for index in range(len(volumes))]
            self._outcomes = []
            for name, volume in zip(names, volumes, strict=True):
                if self.stop.is_set():
                    return  # the next start begins with the first volume again
                item = {
                    "case": name,
                    "source": volume.folder,
                    "image": [volume],
                    "warnings": [*notes, *volume.warnings],
                }
                yield [CaseDataset([item], self.inference.preprocessing)[0]]
            self._settle(version, number, volumes, earlier)
        except Exception as error:  # the disk is full, say; whatever it is, the other series are done
            why = without_folders(reason(error), str(self.folder.root), names=False)
            logger.error("series %s is not answered, to be tried again: %s", version.key.uid, why)
            self.folder.again_later(version.key)

    def _volumes(self, version: Version) -> list[Series]:
        """The volumes of a series; none, and recorded why, where it has none or one of its files is damaged."""
        try:
            volumes, rejected = find_series([path for path, _ in version.files], self.series)
        except CrossDError as error:  # all files are of one series, so the filter does not fit it
            self._without_answer(version, "skipped", str(error))
            return []
        damaged = [item.reason for item in rejected if not item.kind]
        if damaged:
            self._without_answer(version, "failed", damaged[0])
            return []
        if not volumes:
            why = rejected[0].reason if rejected else "No slice of it is left."
            self._without_answer(version, "skipped", why)
        return volumes

    def _settle(self, version: Version, number: int, volumes: Sequence[Series], earlier: Sequence[Report]) -> None:
        if len(self._outcomes) < len(volumes):
            return  # the run is ending
        if not version.unchanged():
            logger.info("series %s has changed while it was classified: it is done again", version.key.uid)
            return
        failed = [what for _, what in self._outcomes if isinstance(what, str)]
        if failed:
            self._without_answer(version, "failed", failed[0])
            return
        reports = []
        for volume, (name, answer) in zip(volumes, self._outcomes, strict=True):
            same = [report for report in earlier if report.volume == volume.split] or earlier
            file = self.inference.reports.folder / f"{name}.dcm"
            reports.append(self.outbox.put(file, version, volume.split, cast(Mapping, answer), same))
            file.unlink(missing_ok=True)
        self.ledger.answered(version, number, reports)
        self.folder.done(version.key)
        for report in reports:
            said = ", ".join(report.answer["predicted"]) or "none of the classes"
            said += ", outside of what the model knows" if report.answer.get("scope") == "outside" else ""
            logger.info("series %s, version %d: %s; report %s", version.key.uid, number, said, report.uid)
        self.answered()

    def _nothing_new(self, version: Version) -> None:
        try:
            self.ledger.nothing_new(version.key)
        except sqlite3.Error as error:
            logger.error("the journal cannot be written for now (%s)", error)
            self.folder.again_later(version.key)
        else:
            self.folder.done(version.key)

    def _without_answer(self, version: Version, state: str, why: str) -> None:
        news = self.ledger.not_answered(version, state, why)
        if news:
            folder = version.files[0][0].rpartition("/")[0] if version.files else ""
            logger.warning("series %s %s: %s", version.key.uid, state, without_folders(why, folder, names=False))
        if state == "failed":
            self.folder.again_later(version.key)
        else:
            self.folder.done(version.key)

    def _answer(self, case: Case, said: Mapping[str, Any]) -> Mapping[str, Any] | str:
        """Class names, probabilities and scope; why not, where the report could not be written."""
        card, values = self.inference.card, said["pred"].tolist()
        chances = dict(zip(card["class_names"], values, strict=True))
        try:
            assert case.image is not None  # it was read
            judgement = self.inference.scope(case.image, said["evidence"].features)
            judged, note = details_of(judgement), warning_of(judgement)
            noted = case.warnings if note is None else (*case.warnings, note)
            file = self.inference.reports.write(case, chances, noted, judged)
        except Exception as error:  # the other volumes are done
            return f"the structured report was not written: {reason(error)}"
        if file is None:
            return "No structured report was written."
        return {"predicted": predicted_classes(values, card), "probabilities": chances, **judged}

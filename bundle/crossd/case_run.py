"""A run over many cases, of which some may be unreadable: what is done with each. The runs of the bundle's configs."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

from ignite.engine import Events
from monai.engines import SupervisedEvaluator

from crossd.cards.tasks import task_of
from crossd.errors import CrossDError, counted
from crossd.inference import Classification, Regression, RunJournal, StructuredReports
from crossd.inference.answer import Answer, AnswerTables, Explanation
from crossd.inference.case_dataset import Case, reason
from crossd.options import Options, settings
from crossd.processes import process_count, rank, wait_for_all
from crossd.report import ReportPage
from crossd.segmentation import Segmentation
from crossd.training.progress import is_news

NAMED = 5  # failed cases whose reasons are in the log
Load = Callable[[SupervisedEvaluator], None]
Task = Classification | Segmentation


class CaseRun:
    """Handler of an evaluator that answers cases: everything between the network and the files of the output folder.

    What became of each case is in the two tables of its task, `<stem>.csv` and `<stem>.json` (`AnswerTables`), which
    are whole after every case and in the order of the cases; beside them lie the task's maps or masks, one folder a
    kind, `structured_reports/` and `report.html`, and `journal/`, from which a run that was ended is resumed.

    Of several processes each answers its share of the cases and notes them in its journal; from the journals the first
    makes the tables and the page when all are done.

    Handlers after this one find the answer of a case in its output, as `"answer"`.

    Args:
        output_dir: made when it does not exist; files of an earlier run in it are replaced, unless it is resumed.
        task: what is done with what the network says, a `Classification`, `Regression` or `Segmentation`.
        journal: of the run, which its `CaseLoader` has too; by default one that starts anew.
        load: called with the evaluator before the first case, to give it its weights: `LoadWeights`.
        structured_reports: writes them, for a task with probabilities.
        page: the report, where there is one.
        weights: the file the weights came from, for the tables.

    Raises:
        CrossDError: at the start, for a folder that cannot be written, or belongs to a run with other settings.
    """

    def __init__(
        self,
        output_dir: str | Path,
        task: Task,
        journal: RunJournal | None = None,
        load: Load | None = None,
        structured_reports: StructuredReports | None = None,
        page: ReportPage | None = None,
        weights: str | None = None,
    ) -> None:
        self.folder = Path(output_dir).absolute()  # ITK changes the working directory while it loads, in any thread
        self.task = task
        self.journal = journal or RunJournal(self.folder)
        self.load = load
        self.structured_reports = structured_reports
        self.page = page
        model = {"weights": None if weights is None else str(weights)} | {
            key: task.card.get(key)
            for key in ("crossd_version", "data", "task", "class_names", "negative_class", "operating_point")
        }
        self.tables = AnswerTables(self.folder, task.stem, task.columns, task.cells, model)
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self._first = True
        self.logger = logging.getLogger(type(self).__name__)

    def attach(self, engine: SupervisedEvaluator) -> None:
        engine.logger.addFilter(is_news)
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add)
        engine.add_event_handler(Events.COMPLETED, self.close)

    def start(self, engine: SupervisedEvaluator) -> None:
        """Before the first case: weights, folder, and what an earlier start has left."""
        if self.load is not None:
            self.load(engine)
        self.task.start(engine)
        self._first = rank() == 0
        self.counts = Counter()
        self.failures = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.journal.start()
            if self.structured_reports is not None:
                self.structured_reports.start()
            if self._first:
                kept = (self._noted(answer) for *_, answer in self.journal.answers(self.journal.kept))
                self.counts = self.tables.write(kept, stay_open=process_count() == 1)
        except OSError as error:
            raise CrossDError(
                f"output_dir must be a folder that can be written, got {self.folder} ({reason(error)}): choose "
                "another by --output_dir"
            ) from error
        if self.page is not None:
            self.page.start(engine, self.journal)

    def add(self, engine: SupervisedEvaluator) -> None:
        """What is done with each case of the evaluator's batch, after the network: the order is this one."""
        for case, said in zip(cast(list[Case], engine.state.batch), cast(list, engine.state.output), strict=True):
            explanation = self.task.explain(case, said)
            answer = self.answer(case, said, explanation)
            if process_count() == 1:
                self.tables.append(self._noted(answer))
                self.counts.update(answer.kinds)
            if self.page is not None:
                self.page.add(case, said, explanation, answer)
            self.journal.append(case, answer)  # at last: what is in it is done
            said["answer"] = answer

    def answer(self, case: Case, said: Mapping[str, Any], explanation: Explanation) -> Answer:
        """What became of a case, with its files written; `said` is what the evaluator's step returned of it."""
        answer = self.task.answer(case, said, explanation, self.folder)
        return answer if self.structured_reports is None else self.structured_reports.add(case, answer)

    def close(self, engine: SupervisedEvaluator) -> None:
        """After the last case: the files have all cases in order, and the log says how it went."""
        self.journal.close()
        self.tables.close()
        wait_for_all()
        if self._first and (process_count() > 1 or self.journal.kept):
            names = cast(Any, engine.data_loader).dataset.names
            self.failures = []
            every = (self._noted(answer) for *_, answer in self.journal.answers(names))
            self.counts = self.tables.write(every, stay_open=False)
        if self.structured_reports is not None:
            self.structured_reports.close()
        if self.page is not None:
            self.page.close()
        if not self._first:
            return
        self.journal.finish()
        ok, failed, skipped, outside = (self.counts[kind] for kind in ("ok", "failed", "skipped", "outside"))
        passed = f", {skipped} entries are no scans and were skipped" if skipped else ""
        passed += f", {outside} outside of what the model knows" if outside else ""
        for failure in self.failures:
            self.logger.warning(f"failed: {failure}")
        if failed > NAMED:
            self.logger.warning(f"and {failed - NAMED} more, with their reasons in {self.tables.paths[0].resolve()}")
        done = f"{ok} of {counted(ok + failed, 'case')} done, {failed} failed{passed}"
        self.logger.info(f"{done}; results are in {self.folder.resolve()}")

    def _noted(self, answer: Answer) -> Answer:
        if answer.status == "failed" and len(self.failures) < NAMED:
            self.failures.append(f"{answer.case}: {answer.reason}")
        return answer

    def exit(self) -> None:
        """End the process with code 2 when some cases failed and 1 when none is done; return when all are done.

        Of several processes the first does so. Where torch elastic would take that for a lost process and start all of
        them again (`--max_restarts`), it only warns when some cases failed.
        """
        done, failed = self.counts["ok"], self.counts["failed"]
        if not self._first or (done and not failed):
            return
        if done and int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)):
            self.logger.warning(
                f"{failed} cases failed; the exit code does not say so, for torchrun would start again (--max_restarts)"
            )
            return
        raise SystemExit(2 if done else 1)


def classification_run(options: Options, card: Mapping[str, Any], load: Load | None, bundle_root: str) -> CaseRun:
    """The `CaseRun` of `inference.json`.

    Args:
        options: of the config.
        card: the model's.
        load: gives the evaluator its weights, `LoadWeights`; the backend that it names is a setting of the run. None
            where the evaluator has them.
        bundle_root: its `configs/metadata.json` says what the bundle's own model is for.

    Raises:
        CrossDError: as the parts that are made.
    """
    metadata = Path(bundle_root) / "configs" / "metadata.json"
    reports = None
    if options.dicom_sr:
        reports = StructuredReports(options.output_dir, card, metadata, options.series)
    kind = Classification if task_of(card.get("task")).classifies else Regression
    task = kind(card, options.evidence_class, options.saliency, options.saliency_layer, options.evidence)
    return _case_run(options, task, load, bundle_root, reports)


def segmentation_run(options: Options, card: Mapping[str, Any], load: Load | None, bundle_root: str) -> CaseRun:
    """The `CaseRun` of `inference_segmentation.json`; see `classification_run`."""
    return _case_run(options, Segmentation(card), load, bundle_root)


def _case_run(
    options: Options, task: Task, load: Load | None, bundle_root: str, reports: StructuredReports | None = None
) -> CaseRun:
    stored = settings(options, backend=getattr(load, "backend", options.backend))
    journal = RunJournal(options.output_dir, stored, options.weights, options.resume, options.retry_failed)
    page = None
    if options.report:
        page = ReportPage(
            options.output_dir,
            task.card,
            Path(bundle_root) / "configs" / "metadata.json",
            options.weights,
            cases=options.report_cases,
            slices=options.report_slices,
            names=options.report_names,
            saliency=getattr(task, "saliency", None) is not None,
        )
    return CaseRun(options.output_dir, task, journal, load, reports, page, options.weights)

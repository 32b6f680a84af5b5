"""The runs of the bundle's configs, made of their parts by the options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai.engines import SupervisedEvaluator

from crossd.inference import Classification, RunJournal, SaliencyMaps, StructuredReports
from crossd.options import Options, settings
from crossd.report import ReportPage
from crossd.runs.case_run import CaseRun, Task
from crossd.segmentation import Segmentation

Load = Callable[[SupervisedEvaluator], None]


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
    saliency = None if options.saliency is None else SaliencyMaps(options.saliency, options.saliency_layer)
    reports = None
    if options.dicom_sr:
        reports = StructuredReports(options.output_dir, card, _metadata(bundle_root), options.series)
    return _case_run(options, Classification(card, options.evidence_class, saliency), load, bundle_root, reports)


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
            _metadata(bundle_root),
            options.weights,
            cases=options.report_cases,
            slices=options.report_slices,
            names=options.report_names,
            saliency=getattr(task, "saliency", None) is not None,
        )
    return CaseRun(options.output_dir, task, journal, load, reports, page, options.weights)


def _metadata(bundle_root: str) -> Path:
    return Path(bundle_root) / "configs" / "metadata.json"

"""The bundle's inference, made ready once and then fed with what arrives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossd.bundle import check_version
from crossd.errors import CrossDError
from crossd.inference import StructuredReports
from crossd.inference.case_scope import CaseScope
from crossd.options import literal
from crossd.serve.series_versions import content_digest


@dataclass(frozen=True)
class Inference:
    """What `configs/inference.json` makes.

    Attributes:
        evaluator: MONAI's; `run()` loads the weights, then takes batches of one item of `crossd.inference.CaseDataset`
            from its `data_loader`, which may let wait for them, until that ends.
        preprocessing: from a source to what the network takes.
        reports: writes a Structured Report of each case.
        scope: tells whether a case is like those that the model was trained on.
    """

    evaluator: Any
    card: Mapping[str, Any]
    preprocessing: Callable[[dict[str, Any]], dict[str, Any]]
    reports: StructuredReports
    model: str
    scope: CaseScope


def prepare_inference(bundle_root: Path, folder: Path, **options: Any) -> Inference:
    """Parse the inference configuration of a bundle, as `python -m monai.bundle run` does.

    Args:
        bundle_root: holds `configs/inference.json`.
        options: of the configuration, for instance `weights`, `series`, `tilt` or `backend`; None leaves one as it is.

    Raises:
        CrossDError: no such bundle or of another version, no weights, or what the configuration's parts refuse.
    """
    from monai.bundle import ConfigWorkflow

    config = bundle_root / "configs" / "inference.json"
    if not config.is_file():
        raise CrossDError(
            f"A bundle holds configs/inference.json: '{bundle_root}' does not. Pass its root by --bundle_root."
        )
    check_version(str(bundle_root))
    changes: dict[str, Any] = {
        "bundle_root": literal(str(bundle_root)),
        "output_dir": literal(str(folder)),
        "dataloader": None,
        "handlers": ["@load_weights"],  # no tables, maps, pages and progress bars
        "inferer#progress": False,
        **{name: literal(value) for name, value in options.items() if value is not None},
    }
    workflow = ConfigWorkflow(str(config), workflow_type="inference", logging_file=False, **changes)
    workflow.initialize()
    evaluator, card, preprocessing, given = (
        workflow.parser.get_parsed_content(name) for name in ("evaluator", "card", "preprocessing", "options")
    )
    reports = StructuredReports(folder, card, config.with_name("metadata.json"), given.series)
    reports.start()
    return Inference(evaluator, card, preprocessing, reports, content_digest(given.weights), CaseScope(card))

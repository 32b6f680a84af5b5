"""The inference config on Ray Data, for clusters where Ray hands out the machines; there is no scheduling in here."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from crossd.data import find_cases
from crossd.errors import CrossDError
from crossd.inference.answer import Answer
from crossd.inference.case_dataset import CaseDataset
from crossd.inference.iteration import classify_cases
from crossd.options import literal


class RayClassifier:
    """What a Ray actor does: it builds the config's parts once, and classifies case after case with them."""

    def __init__(self, config: str, options: Mapping[str, Any]) -> None:
        given = {name: literal(value) for name, value in options.items()}
        self.workflow = ConfigWorkflow(config, workflow_type="inference", logging_file=False, **given)
        self.workflow.initialize()
        part = self.workflow.parser.get_parsed_content
        self.evaluator, self.case_run = part("evaluator"), part("case_run")
        self.case_run.load(self.evaluator)
        self.case_run.task.start(self.evaluator)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row `{"name", "item"}` to `{"entry"}`, as `predictions.json` has it."""
        case = replace(CaseDataset([pickle.loads(row["item"])], self.workflow.preprocessing)[0], name=row["name"])
        (said,) = classify_cases(self.evaluator, [case])
        answer = self.case_run.answer(case, said, self.case_run.task.explain(case, said))
        return {"entry": json.dumps(answer.as_dict())}


def infer_on_ray(config: str | Path, processes: int, images: str, output_dir: str, **options: Any) -> Counter[str]:
    """Classify all cases under a path by Ray actors, and write the tables and the maps that the bundle writes.

    Args:
        config: of the bundle.
        processes: Ray actors at the same time.
        images, output_dir: as in the config; all machines see them under these paths. Tables are written at the end.
        options: that replace entries of the config.

    Returns:
        How many cases are "ok", "failed" and "skipped".

    Raises:
        CrossDError: when Ray is not installed, or as `find_cases`.
    """
    try:
        import ray
    except ImportError as error:
        raise CrossDError('Ray must be installed, got none: pip install "crossd[ray]", or use torchrun.') from error
    given = {**options, "images": str(Path(images).absolute()), "output_dir": str(Path(output_dir).absolute())}
    arguments = {"config": str(Path(config).absolute()), "options": given}
    cases = CaseDataset(find_cases(given["images"], options.get("series"), options.get("tilt", "correct")), dict)
    rows = [{"name": name, "item": pickle.dumps(item)} for name, item in zip(cases.names, cases.data, strict=True)]
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    done = ray.data.from_items(rows).map(RayClassifier, fn_constructor_kwargs=arguments, concurrency=processes)
    answers = (Answer.from_dict(json.loads(row["entry"])) for row in done.iter_rows())
    found: Counter[str] = RayClassifier(str(config), given).case_run.tables.write(answers, stay_open=False)
    return found

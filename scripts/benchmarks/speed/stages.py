"""Where the time of a bundle's inference run goes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any
from unittest import mock

from crossd.inference import classification
from ignite.engine import Events
from monai.bundle import ConfigWorkflow


def run_by_stages(workflow: ConfigWorkflow) -> dict[str, float]:
    """Run an initialised workflow of `configs/inference.json` and say how long each stage took.

    Returns:
        Seconds by stage. Those of "preparing: …" are spent in a thread of their own while the network works;
        "waiting for cases" is what of it the run had to wait for. "run" is all of it.
    """
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                spent[name] += time.perf_counter() - start

        return call

    evaluator, preparing = (workflow.parser.get_parsed_content(name) for name in ("evaluator", "preprocessing"))
    steps = [timed(f"preparing: {type(step).__name__}", step) for step in preparing.transforms]
    loaded: list[float] = []

    def watch(engine: Any) -> None:
        loaded.append(time.perf_counter())
        engine.network.with_features = timed("network", engine.network.with_features)
        engine._process_function = timed("windows, network included", engine._process_function)

    evaluator.add_event_handler(Events.STARTED, watch)
    evaluator.add_event_handler(Events.GET_BATCH_STARTED, lambda _: loaded.append(time.perf_counter()))
    evaluator.add_event_handler(
        Events.GET_BATCH_COMPLETED,
        lambda _: spent.update({"waiting for cases": spent["waiting for cases"] + time.perf_counter() - loaded[-1]}),
    )
    start = time.perf_counter()
    with (
        mock.patch.object(preparing, "transforms", steps),
        mock.patch.object(classification, "map_in_input_space", timed("map", classification.map_in_input_space)),
        mock.patch.object(classification, "save_map", timed("writing the map", classification.save_map)),
    ):
        workflow.run()
    return {"weights": loaded[0] - start, **spent, "run": time.perf_counter() - start}

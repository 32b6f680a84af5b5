"""Cases come in order, one ahead and no further, small ones together; the answers are those of one by one."""

from __future__ import annotations

import gc
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from crossd.case_run import CaseRun
from crossd.inference import CaseDataset, CaseLoader, Classification, WindowInferer, collate_cases
from crossd.inference.case_loader import one_ahead
from ignite.engine import Events
from monai.data import DataLoader, MetaTensor
from torch import Tensor, nn

from ..evaluators import evaluator

CARD = {"task": "multiclass", "class_names": ["healthy", "aneurysm"], "negative_class": 0}


class Recorder(nn.Module):
    """Logits (0, mean); notes how many windows came at once; refuses batches that hold a mean above 50."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        mean = x.flatten(1).mean(1)
        if float(mean.max()) > 50:
            raise RuntimeError("out of memory")
        return torch.stack([torch.zeros_like(mean), mean], 1)


def make(item: dict[str, Any]) -> dict[str, Any]:
    """`(depth, value)` to a volume of that depth; "broken" to an error."""
    if item["image"] == "broken":
        raise EOFError("Compressed file ended")
    depth, value = item["image"]
    image = MetaTensor(torch.full((1, depth, 8, 8), float(value)), affine=torch.eye(4))
    image.meta.update(spatial_shape=(depth, 8, 8), original_affine=torch.eye(4))
    return {"image": image}


def dataset(images: list[Any], transform: Callable[[Any], Any] = make) -> CaseDataset:
    return CaseDataset([{"case": f"case_{n}", "image": image} for n, image in enumerate(images)], transform)


def run(loader: Any, folder: Path) -> tuple[list[dict[str, Any]], Recorder]:
    network, answers = Recorder(), []
    case_run = CaseRun(folder, Classification(CARD, evidence="windows"))
    engine = evaluator(loader, network, case_run, inferer=WindowInferer(8, overlap=0.5, sw_batch_size=3))

    @engine.on(Events.ITERATION_COMPLETED)
    def note(engine: Any) -> None:
        (case,), (output,) = engine.state.batch, engine.state.output
        answers.append({"case": case.case, "error": output.get("error"), "pred": output.get("pred")})
        written = json.loads((folder / "predictions.json").read_text())["cases"]  # by now, whatever happens later
        assert [entry["case"] for entry in written] == [answer["case"] for answer in answers]
        assert len((folder / "predictions.csv").read_text().splitlines()) == 1 + len(answers)

    engine.run()
    return answers, network


MIXED: list[Any] = [(8, 1), (5, -1), (20, 0.5), "broken", (8, 2), (7, 0), (8, 99), (8, 3), (3, 0.25), (12, 99), (8, 1)]


def test_the_same_answers_as_one_by_one(tmp_path: Path) -> None:
    grouped, network = run(CaseLoader(dataset(MIXED), roi_size=8, sw_batch_size=3), tmp_path / "grouped")
    single, _ = run(DataLoader(dataset(MIXED), batch_size=1, collate_fn=collate_cases), tmp_path / "single")
    assert [answer["case"] for answer in grouped] == [f"case_{n}" for n in range(len(MIXED))]
    for one, other in zip(grouped, single, strict=True):
        assert (one["case"], one["error"]) == (other["case"], other["error"])
        assert (one["pred"] is None) == (one["error"] is not None)
        if one["pred"] is not None:
            torch.testing.assert_close(one["pred"], other["pred"], rtol=0, atol=1e-6)
    failed = {answer["case"] for answer in grouped if answer["error"]}
    assert failed == {"case_3", "case_6", "case_9"}  # broken, and the two that the network refuses, no others
    tables = [(tmp_path / kind / "predictions.csv").read_text() for kind in ("grouped", "single")]
    assert tables[0] == tables[1]
    assert 2 in network.batches  # the first two cases at once
    for kind in ("*.csv", "evidence/*"):
        assert len(list((tmp_path / "grouped").glob(kind))) == len(list((tmp_path / "single").glob(kind))) > 0


def test_single_windows_of_several_cases_share_a_batch(tmp_path: Path) -> None:
    answers, network = run(CaseLoader(dataset([(8, n) for n in range(7)]), roi_size=8, sw_batch_size=3), tmp_path)
    assert network.batches == [3, 3, 1]
    assert [float(answer["pred"][1]) for answer in answers] == pytest.approx(
        [float(torch.tensor(float(n)).sigmoid()) for n in range(7)], abs=1e-6
    )


@pytest.mark.parametrize(
    ("roi_size", "sizes"),
    [(8, [2, 2, 1, 1, 1, 2, 2]), ([8, 8, 8], [2, 2, 1, 1, 1, 2, 2]), (None, [1] * 7), ([-1, 8, 8], [1] * 7)],
)
def test_what_makes_a_group(roi_size: Any, sizes: list[int]) -> None:
    """In order: a case larger than the window ends the group before it."""
    images = [(8, 0), (2, 0), (9, 0), (4, 0), (30, 0), (8, 0), (8, 0)]
    loader = CaseLoader(dataset(images), roi_size=roi_size, sw_batch_size=2)
    assert [len(batch[0].group.images) for batch in loader] == sizes
    assert len(loader) == len(images)


def test_one_case_ahead_and_no_further() -> None:
    started: list[int] = []
    done = threading.Event()

    def slow(item: dict[str, Any]) -> dict[str, Any]:
        started.append(item["image"][1])
        done.set()
        return make(item)

    loader = CaseLoader(dataset([(20, n) for n in range(6)], slow), roi_size=8, sw_batch_size=3)
    for number, _ in enumerate(loader):
        if number < 5:
            done.wait(5)
            time.sleep(0.05)  # time enough to run further ahead
            assert started == list(range(number + 2))  # the next one is there while this one is used
        done.clear()


def test_preparing_overlaps_with_computing() -> None:
    """Each waits for the other to have begun: one after the other they would wait for ever."""
    preparing, computing = threading.Event(), threading.Event()

    def prepare(item: dict[str, Any]) -> dict[str, Any]:
        if item["image"][1] == 1:
            preparing.set()
            assert computing.wait(10)
        return make(item)

    batches = iter(CaseLoader(dataset([(20, 0), (20, 1)], prepare), roi_size=8))
    next(batches)
    assert preparing.wait(10)
    computing.set()
    (case,) = next(batches)
    assert case.error is None


def test_memory_is_that_of_two_cases() -> None:
    alive: list[weakref.ref[Tensor]] = []

    def tracked(item: dict[str, Any]) -> dict[str, Any]:
        prepared = make(item)
        alive.append(weakref.ref(prepared["image"]))
        return prepared

    gc.disable()  # reference counts have to do
    try:
        for batch in CaseLoader(dataset([(20, n) for n in range(8)], tracked), roi_size=8, sw_batch_size=3):
            time.sleep(0.02)
            del batch
            assert sum(image() is not None for image in alive) <= 3  # used, prepared, and the one being handed over
    finally:
        gc.enable()


def test_an_exception_in_the_thread_is_not_the_end_without_a_word() -> None:
    def broken() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("third")

    items = one_ahead(broken())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyError, match="third"):
        next(items)


def test_stopping_early_leaves_no_thread() -> None:
    items = one_ahead(iter(range(100)))
    assert next(items) == 0
    items.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("one_ahead")]


@pytest.mark.slow
def test_processes_prepare_the_same() -> None:
    images = [(8, 1.0), (20, 2.0), "broken", (8, 3.0)]
    cases = [batch[0] for batch in CaseLoader(dataset(images), roi_size=8, sw_batch_size=2, num_workers=2)]
    assert [case.case for case in cases] == [f"case_{n}" for n in range(4)]
    assert [case.error is None for case in cases] == [True, True, False, True]

"""The page is whole after every case, says what the tables say, and holds nothing that a browser would run or fetch."""

from __future__ import annotations

import gc
import html.parser
import json
import logging
import os
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from crossd.case_run import CaseRun
from crossd.errors import CrossDError
from crossd.inference import RunJournal
from crossd.report import ReportPage, report_page
from ignite.engine import Events
from monai.data import MetaTensor
from monai.engines import SupervisedEvaluator

from ..configs import csv_rows
from ..evaluators import evaluator
from .made import CARD, EVIL, made_cases, run, volume

VOID = {"meta", "link", "img", "input", "br"}


class Page(html.parser.HTMLParser):
    """Refuses what is not closed; gathers what the tests ask for."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def rows(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "tbody"]


def test_one_row_per_case_with_what_the_tables_say(made_report: Path) -> None:
    page = Page(made_report)
    rows = csv_rows(made_report.parent / "predictions.csv")
    assert [row["data-status"] for row in page.rows()] == [row["status"] for row in rows]
    assert [json.loads(row["data-predicted"] or "") for row in page.rows()] == [[r["predicted_class"]] for r in rows]
    values = [a["data-v"] for tag, a in page.tags if tag == "td" and "data-v" in a]
    assert values == [row[f"probability_{name}"] for row in rows for name in CARD["class_names"]]
    for row in rows:
        assert row["case"] in page.text
    assert "6 listed 4 ok 1 failed 1 skipped 1 ok with warnings" in page.text
    assert "The run was not over" not in page.text
    assert "2 warnings: sheared by 18°" in page.text


def test_texts_of_files_and_models_are_shown_and_never_run(made_report: Path) -> None:
    page = Page(made_report)
    text = made_report.read_text(encoding="utf-8")
    assert text.count("<script") == 1
    assert page.text.count(EVIL) >= 6  # class, channel, data, warning, reason
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("data:image/", "#"))


def test_folders_and_patients_stay_out(made_report: Path, tmp_path: Path) -> None:
    text = made_report.read_text(encoding="utf-8")
    assert "DOE" not in text
    assert "…/cut.nii.gz" in text
    run(tmp_path, made_cases(1), names=False)
    nameless = Page(tmp_path / "report.html").text
    assert "case 2" in nameless
    for name in ("scan_0", "cut.nii", "DOE", "log.dcm"):
        assert name not in nameless


def test_the_page_is_whole_after_every_case(tmp_path: Path) -> None:
    seen: list[str] = []

    def look(engine: SupervisedEvaluator) -> None:
        page = Page(tmp_path / "report.html")
        assert len(page.rows()) == engine.state.iteration
        assert "The run was not over when this page was written." in page.text
        seen.append(page.text)

    run(tmp_path, made_cases(2), after=lambda evaluator: evaluator.add_event_handler(Events.ITERATION_COMPLETED, look))
    assert [re.findall(r"\d ok", text)[0] for text in seen[:2]] == ["1 ok", "2 ok"]
    assert "2 ok 1 failed 1 skipped" in seen[-1]


def test_a_run_that_dies_leaves_a_page(tmp_path: Path) -> None:
    def die(engine: SupervisedEvaluator) -> None:
        raise KeyboardInterrupt

    def after(evaluator: SupervisedEvaluator) -> None:
        evaluator.add_event_handler(Events.ITERATION_COMPLETED(once=2), die)

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, made_cases(4), after=after)
    page = Page(tmp_path / "report.html")
    assert len(page.rows()) == 2
    assert "The run was not over when this page was written." in page.text


def test_pictures_and_maps_of_every_case(made_report: Path) -> None:
    page = Page(made_report)
    figures = [attributes for tag, attributes in page.tags if tag == "figure"]
    assert len(figures) == 4 * 3
    assert [figure["data-total"] for figure in figures[:3]] == ["20", "24", "32"]
    assert figures[0]["data-shown"] == ",".join(map(str, range(20)))
    maps = [attributes["class"] for tag, attributes in page.tags if tag == "img" and "class" in attributes]
    assert maps == ["map evidence", "map saliency"] * 12
    assert "along depth" in page.text  # the last one has no affine
    assert "The file does not say where its axes run to" in page.text


def test_no_more_pictures_than_asked_for(tmp_path: Path) -> None:
    run(tmp_path, made_cases(3), cases=1, slices=2)
    page = Page(tmp_path / "report.html")
    assert [a["data-shown"] for tag, a in page.tags if tag == "figure"] == ["5,15", "12", "16"]
    assert page.text.count("No pictures: the page holds those of the first 1 cases (report_cases).") == 2
    assert "Pictures are of the first 1 cases" in page.text
    assert len(page.rows()) == 5


def test_of_one_window_the_report_opens_on_what_its_voxels_add(tmp_path: Path) -> None:
    run(tmp_path, made_cases(1), window=None)
    page = Page(tmp_path / "report.html")
    figures = [a for tag, a in page.tags if tag == "figure"]
    sliders = [a for tag, a in page.tags if tag == "input" and a.get("type") == "range" and "aria-label" in a]
    assert figures
    assert [slider["value"] for slider in sliders] == [figure["data-evidence"] for figure in figures]
    assert "gradient: what a voxel adds to the log-odds of" in page.text


def test_windows_that_say_the_same_have_nothing_to_locate(tmp_path: Path) -> None:
    run(tmp_path, made_cases(1), window=None, evidence="windows")
    page = Page(tmp_path / "report.html")
    assert "All windows say the same, so their evidence is the same everywhere." in page.text
    assert not [a for tag, a in page.tags if tag == "img" and a.get("class")]


def test_many_classes_share_a_column(tmp_path: Path) -> None:
    names = [f"class {n}" for n in range(7)]
    run(tmp_path, made_cases(1), card={**CARD, "class_names": names, "negative_class": None})
    page = Page(tmp_path / "report.html")
    assert len([tag for tag, _ in page.tags if tag == "th"]) == 5
    assert all(name in page.text for name in names)


def test_bytes_of_a_case(tmp_path: Path) -> None:
    """What the docstring promises, for the worst there is, noise."""
    big = volume(0, (120, 130, 140))
    big[:] = torch.rand(big.shape)
    made = [{"case": f"noise_{n}", "source": "", "image": big} for n in range(2)]
    run(tmp_path, made, window=64)
    run(tmp_path / "one", made[:1], window=64)
    assert 100_000 < size(tmp_path) - size(tmp_path / "one") < 360_000 + 100_000
    rows = [{"case": f"{n}", "source": "", "image": "cut"} for n in range(40)]
    run(tmp_path / "rows", rows)
    run(tmp_path / "few", rows[:10])
    assert (size(tmp_path / "rows") - size(tmp_path / "few")) / 30 < 1500


def size(folder: Path) -> int:
    return os.path.getsize(folder / "report.html")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_cases(tmp_path: Path) -> None:
    held: list[int] = []

    def note(engine: SupervisedEvaluator) -> None:
        if engine.state.iteration in (6, 24):
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])

    def after(evaluator: SupervisedEvaluator) -> None:
        evaluator.add_event_handler(Events.ITERATION_COMPLETED, note)

    made = [{"case": f"{n}", "source": "", "image": volume(n % 4)} for n in range(24)]
    tracemalloc.start()
    try:
        run(tmp_path, made, after=after)
    finally:
        tracemalloc.stop()
    assert size(tmp_path) > 200_000
    assert held[1] - held[0] < size(tmp_path) / 4


def test_the_run_goes_on_when_the_page_cannot(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("a device that is always full exists on Linux only")
    caplog.set_level(logging.WARNING)

    def after(evaluator: SupervisedEvaluator) -> None:
        def fill_the_disk(engine: SupervisedEvaluator) -> None:
            handlers = [one[0].__self__ for one in engine._event_handlers[Events.COMPLETED] if of_case_run(one[0])]
            report = handlers[0].page
            assert report.pages._page is not None
            report.pages._page._file = full.open("wb")

        evaluator.add_event_handler(Events.ITERATION_STARTED(once=2), fill_the_disk)

    run(tmp_path, made_cases(3), after=after)
    assert "the report ends before case scan_1: OSError: [Errno 28] No space left on device" in caplog.text
    assert [row["status"] for row in csv_rows(tmp_path / "predictions.csv")] == ["ok", "ok", "ok", "failed", "skipped"]
    assert len(Page(tmp_path / "report.html").rows()) == 1


def of_case_run(method: Any) -> bool:
    return isinstance(getattr(method, "__self__", None), CaseRun)


def test_a_picture_that_fails_leaves_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(report_page, "pictures_of", fail)
    run(tmp_path, made_cases(1))
    page = Page(tmp_path / "report.html")
    assert len(page.rows()) == 3
    assert "No pictures: MemoryError: no room" in page.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cases": -1}, "report_cases must be a number of cases, 0 or more, got -1"),
        ({"cases": True}, "report_cases must be a number of cases, 0 or more, got True"),
        ({"slices": 0}, "report_slices must be 1 to 101 slices, got 0"),
        ({"slices": 2.5}, r"report_slices must be 1 to 101 slices, got 2\.5"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CrossDError, match=message):
        ReportPage("/tmp/nowhere", CARD, **options)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    report = ReportPage(tmp_path / "file" / "below", CARD)
    with pytest.raises(CrossDError, match=r"output_dir must be a folder that can be written, .*--report false"):
        report.start(evaluator([], torch.nn.Identity()), RunJournal(tmp_path))


def test_several_channels(tmp_path: Path) -> None:
    one = volume(0)
    both = MetaTensor(one.as_tensor().repeat(2, 1, 1, 1), affine=one.affine, meta=one.meta)
    card = {**CARD, "input": {**CARD["input"], "channels": ["t1", "t2"], "mean": [0.25] * 2, "std": [0.5] * 2}}
    run(tmp_path, [{"case": "a", "source": "", "image": both}], card=card, saliency="gradcam")
    page = Page(tmp_path / "report.html")
    assert "Channel 1 of 2, t1. The maps are of all channels together." in page.text
    assert len([tag for tag, attributes in page.tags if attributes.get("class") == "map saliency"]) == 3


def test_a_name_of_bytes_that_are_no_text(tmp_path: Path) -> None:
    run(tmp_path, made_cases(1), weights=os.fsdecode(b"/models/sch\xe4del.pt"))
    assert "sch\\xe4del.pt" in Page(tmp_path / "report.html").text

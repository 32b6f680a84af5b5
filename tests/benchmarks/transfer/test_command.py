"""The script, from made data to the tables of a page."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest
from crossd.errors import CrossDError

import scripts.benchmarks.transfer.command as command
from scripts.benchmarks.transfer import RECIPES, Recipe, Results
from scripts.benchmarks.transfer.published import OFFICIAL_AUC, VOLUME_ACCURACY, published_tables

PAGE = "".join(
    f"<!-- {name}:begin (made by scripts.benchmarks.transfer: do not edit) -->\nold\n<!-- {name}:end -->\nkept\n"
    for name in ("cpu", "pretraining", "full", "published")
)


@pytest.fixture
def options(made, tmp_path, monkeypatch):
    small = Recipe(depth=10, width=4, batch_size=4, steps={0.5: 2, 1.0: 2}, checks=2, shift=1)
    monkeypatch.setitem(RECIPES, "cpu", small)

    def parsed(*more: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        command.add_arguments(parser)
        common = [
            "--data",
            str(made),
            "--pretrained",
            str(made / "pretrained"),
            "--results",
            str(tmp_path / "cpu.jsonl.gz"),
        ]
        return parser.parse_args([*common, "--sets", "solid", "--seeds", "0.5=2", "--protocol", "full", *more])

    return parsed


@pytest.mark.slow
def test_from_data_to_the_page(options, tmp_path):
    page = tmp_path / "results.md"
    page.write_text(PAGE)
    some = ["scratch", "raw", "rest"]
    assert command.benchmark(options("--methods", *some)) == 0
    assert "| rest | 0." in command.report(options("--methods", *some))
    assert "recommended" not in Results(tmp_path / "cpu.jsonl.gz").head, "looking at validation fixes nothing"

    command.report(options("--report", "--methods", *some, "acs", "--seeds", "0.5=2", "1.0=1", "--page", str(page)))
    text = page.read_text()
    assert "\nold\n" not in text
    assert text.count("kept") == 4
    assert "The differences are those of **rest**, the only candidate" in text
    rows = {line.split(":")[0].strip("| *"): line for line in text.splitlines() if line.startswith("| ")}
    assert "not run | not run | not run | 0" in rows["acs"]
    assert text.count("not run | not run | not run | 0") == 1 + 4, "a method without runs, and a cell without any"
    row = r"\| scratch: random weights \| 0\.\d{3} ± 0\.\d{3} .*\| 2 \| [+-]0\.\d{3} \| – \| – \|"
    assert re.search(row, text), "no p of two seeds"
    assert "| always the majority | 0.500 | 0.500 | 0.500 |" in text
    assert (tmp_path / "cpu.png").stat().st_size > 5000
    assert "![Test AUC of every run, cpu](cpu.png)" in text
    assert "| vesselmnist3d | 0.874 | 0.930 | 0.951 | ArkMedMNIST |" in text


def test_another_mark_leaves_the_tables_own_alone(options, tmp_path):
    page = tmp_path / "results.md"
    page.write_text(PAGE + PAGE[: PAGE.index("<!-- pretraining")].replace("cpu:", "cpu-again:"))
    command.benchmark(options("--methods", "rest"))
    report = ["--report", "--methods", "rest", "--page", str(page)]
    command.report(options(*report, "--mark", "cpu-again"))
    own, _, other = page.read_text().partition("<!-- cpu-again:begin")
    assert "cpu:begin (made by scripts.benchmarks.transfer: do not edit) -->\nold\n" in own
    assert "| solid, full fine-tuning" in other
    with pytest.raises(CrossDError, match=r"one block from <!-- cpu-third:begin --> .*, found 0"):
        command.report(options(*report, "--mark", "cpu-third"))


def test_a_second_call_runs_nothing(options, tmp_path, capsys):
    assert command.benchmark(options("--methods", "scratch")) == 0
    assert command.benchmark(options("--methods", "scratch")) == 0
    assert "0 runs done, 0 left; 2 of 2 blocks are complete" in capsys.readouterr().out


def test_a_budget_of_nothing_runs_one_block(options, capsys):
    """Before anything was run there is no estimate, so one block is tried; then the next does not fit."""
    assert command.benchmark(options("--methods", "scratch", "--budget", "0.0000001")) in (1, 2)
    assert "left" in capsys.readouterr().out


def test_messages(options, tmp_path):
    with pytest.raises(CrossDError, match="takes FRACTION=COUNT, got 'ten'"):
        command.benchmark(options("--seeds", "ten"))
    with pytest.raises(CrossDError, match=r"needs its weights, got none. Pass --medicalnet FILE"):
        command.benchmark(options("--methods", "medicalnet"))
    with pytest.raises(CrossDError, match=r"`method` must be one of 'scratch'.*got 'crossd'"):
        command.benchmark(options("--methods", "crossd"))
    with pytest.raises(CrossDError, match="`device` must be one of 'cpu', 'cuda'; got 'gpu'"):
        command.benchmark(options("--device", "gpu"))
    command.benchmark(options("--methods", "rest"))
    with pytest.raises(CrossDError, match=r"made around a variant of ours, got the methods scratch, raw\. Name one of"):
        command.report(options("--report", "--methods", "scratch", "raw"))
    page = tmp_path / "bare.md"
    page.write_text("# Results\n")
    with pytest.raises(CrossDError, match=r"written between its marks; .*bare.md holds one block"):
        command.report(options("--report", "--methods", "rest", "--page", str(page)))


def test_published_figures_are_those_of_the_sources():
    assert OFFICIAL_AUC["vesselmnist3d"][:3] == (0.874, 0.930, 0.951)
    assert OFFICIAL_AUC["adrenalmnist3d"][:3] == (0.827, 0.839, 0.881)
    tables = published_tables()
    assert "| vesselmnist3d | 0.887 | 0.874 ± 0.026 | 0.886 ± 0.018 | 0.887 ± 0.018 | 0.887 ± 0.018 |" in tables
    assert "| pneumoniamnist | 0.730 | 0.948 ± 0.006 | 0.945 ± 0.006 | 0.957 ± 0.005 | 0.946 ± 0.008 |" in tables
    assert "| RadImageNet | Cross-D | 0.5891 | 0.5228 | 0.5471 | 0.5228 | 0.8374 |" in tables
    with_averages = {"ACS": (0.525, 0.545), "Cross-D": (0.535, 0.549)}  # the paper's own averages of its first six sets
    for row, averages in with_averages.items():
        sets = [VOLUME_ACCURACY[name][row] for name in ("mosmed", "lung", "fracturemnist3d", "brats21", "ixi", "busv")]
        for column, average in enumerate(averages):
            values = [float(entry[column].split()[0]) for entry in sets]
            assert sum(values) / 6 == pytest.approx(average, abs=6e-4)


def test_the_page_of_results_has_the_marks(root: Path):
    text = (root / "docs" / "results" / "tables.md").read_text()
    for name in ("cpu", "gpu", "2d", "ssl", "cpu-paper", "pretraining", "published"):
        assert f"<!-- {name}:begin (made by scripts.benchmarks.transfer: do not edit) -->" in text

"""Rows are measured once, kept one by one, and become tables."""

from __future__ import annotations

import json
import runpy

import pytest
from crossd.errors import CrossDError

from scripts.benchmarks.speed.plots import growth_lines
from scripts.benchmarks.speed.results import Results, measure_memory, measure_rows, measure_time
from scripts.benchmarks.speed.rows import Row, rows
from scripts.benchmarks.speed.tables import BOUNDS, blocks, bounds_table, section_table, write_tables

SMALL = [
    Row("table3", "layer", (2, 3, 3), ("Conv2d", "CrossDConv"), (2, 2, 6, 6), mode, memory=False)
    for mode in ("forward", "training")
]


def made_up(row: Row, **seconds: float) -> dict:
    return {
        "seconds": {name: [value] * 5 for name, value in seconds.items()},
        "memory": {name: {"built": 1, "peak": int(1e6 * value)} for name, value in seconds.items()},
        "not_run": {name: "memory" for name in row.contestants if name not in seconds},
    }


def test_rows_have_names_of_their_own():
    names = [row.name for row in rows()]
    assert len(names) == len(set(names)) > 60
    with pytest.raises(CrossDError, match=r"`section` must be one of 'table3', .*; got 'table4'.*mean 'table3'"):
        rows("table4")


def test_the_shapes_of_table_3():
    assert {row.shape for row in rows("table3")} == {(8, 64, 128, 128), (16, 128, 224, 224), (2, 384, 224, 224)}
    assert {row.arguments[1] for row in rows("table3")} == {512}


def test_a_row_is_measured_and_kept(tmp_path):
    results = Results(tmp_path)
    assert measure_rows(SMALL, results, rounds=2, threads=1) == 0
    kept = Results(tmp_path)
    for row in SMALL:
        assert {name: len(seconds) for name, seconds in kept[row]["seconds"].items()} == {"Conv2d": 2, "CrossDConv": 2}
        assert kept[row]["threads"] == 1


def test_a_stop_loses_nothing_and_a_measured_row_is_not_measured_again(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(
        "scripts.benchmarks.speed.results.measure_time",
        lambda row, *_: measured.append(row.name) or made_up(row, Conv2d=1.0),
    )

    def stop(text):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_rows(SMALL, Results(tmp_path), 2, 1, show=stop)
    assert measured == [SMALL[0].name]
    assert measure_rows(SMALL, Results(tmp_path), 2, 1, stop_after=0) == 1
    assert measure_rows(SMALL, Results(tmp_path), 2, 1) == 0
    assert measured == [row.name for row in SMALL]
    assert Results(tmp_path).forget("training$") == [SMALL[1].name]
    assert SMALL[0] in Results(tmp_path)
    assert SMALL[1] not in Results(tmp_path)


def test_damaged_results(tmp_path):
    (tmp_path / "table3.json").write_text("{")
    with pytest.raises(CrossDError, match=r"Results must be JSON; .*table3.json is not"):
        Results(tmp_path)


def test_what_did_not_run_is_not_timed(monkeypatch):
    from scripts.benchmarks.speed.memory import Peak

    monkeypatch.setattr(
        "scripts.benchmarks.speed.results.peak_memory",
        lambda prepare, row, name, threads: Peak(reason="memory") if name == "CrossDConv" else Peak(1, 2, 0.1),
    )
    row = Row("table3", "layer", (2, 3, 3), ("Conv2d", "CrossDConv"), (1, 2, 5, 5), "forward")
    memory = measure_memory(row, 1)
    assert memory == {
        "memory": {"Conv2d": {"built": 1, "peak": 2}},
        "not_run": {"CrossDConv": "memory"},
        "expected": {"Conv2d": 0.1},
    }
    assert list(measure_time(row, 1, 1, memory)["seconds"]) == ["Conv2d"]


def test_memory_can_be_measured_alone(tmp_path):
    results = Results(tmp_path)
    assert measure_rows(SMALL, results, rounds=0, threads=1) == 2
    assert all("seconds" not in results[row] for row in SMALL)
    assert section_table(SMALL, results).endswith("| (2, 2, 6, 6) → 3, K 3 | training | – | – |")
    assert measure_rows(SMALL, results, rounds=1, threads=1) == 0
    assert all("seconds" in results[row] for row in SMALL)


def test_the_table(tmp_path):
    results = Results(tmp_path)
    row = rows("table3")[0]
    results[row] = made_up(row, Conv2d=0.1, CrossDConv=0.12, FFT=3.0)
    lines = section_table(rows("table3"), results).splitlines()
    assert lines[4] == (
        "| (8, 64, 128, 128) → 512, K 3 | forward | 100 (100–100) | 1.20 (1.20–1.20) | 30.0 (30.0–30.0) "
        "| not run: memory | not run: memory |"
    )
    assert "| (8, 64, 128, 128) → 512, K 3 | forward | 0 MB | 1.20 | 30.00 |" in lines[-1]


def test_bounds_are_held_against_what_was_measured(tmp_path):
    results = Results(tmp_path)
    forward, training = rows("table3")[:2]
    results[forward] = made_up(forward, Conv2d=1.0, CrossDConv=1.1)
    results[training] = made_up(training, Conv2d=1.0, CrossDConv=1.4)
    generation = rows("resnet")[0]
    results[generation] = made_up(generation, FFT=50.0, CrossDConv=1.0)
    table = bounds_table(results).splitlines()[2:]
    assert [line.split("|")[-2].strip() for line in table] == ["yes", "yes", "yes", "**no**"]
    assert "| ≥ 40 | 50.0 (50.0–50.0) | yes |" in table[0]
    assert "| ≤ 1.3 | 1.40 (1.40–1.40) | **no** |" in table[3]


def test_every_bound_concerns_rows_with_its_contestants():
    for bound in BOUNDS:
        assert bound.rows()
        assert all({bound.one, bound.other} <= set(row.contestants) for row in bound.rows())


@pytest.mark.slow
def test_the_page_keeps_its_text(tmp_path):
    results = Results(tmp_path / "page")
    page = tmp_path / "page.md"
    row = rows("growth")[0]
    results[row] = made_up(row, Conv2d=1.0, CrossDConv=2.0)
    page.write_text(
        "# Title\n\n<!-- growth:begin (made by scripts.benchmarks.speed: do not edit) -->\nold\n"
        "<!-- growth:end -->\n\n## After\n"
    )
    write_tables(page, results)
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("# Title")
    assert text.index("| 2.00 (2.00–2.00) |") < text.index("## After")
    write_tables(page, results)
    assert page.read_text() == text
    assert (tmp_path / "page" / "growth.png").stat().st_size < 200_000
    assert growth_lines("forward", 1, results) == {"Conv2d": [(128, 1000.0)], "CrossDConv": [(128, 2000.0)]}


def test_the_committed_tables_are_made_from_the_committed_results(root):
    text = (root / "docs" / "performance" / "tables.md").read_text(encoding="utf-8")
    made = blocks(Results(root / "docs" / "performance"))
    assert {"bounds", "table3", "stages", "resnet", "volumes", "growth", "guard"} <= set(made)
    for name, block in made.items():
        assert block in text, f"run python -m scripts.benchmarks.speed --stop_after 0 ({name})"


@pytest.mark.slow
def test_the_script(root, tmp_path, monkeypatch, capsys):
    def script(*arguments):
        monkeypatch.setattr("sys.argv", ["speed", "--output_dir", str(tmp_path / "speed"), *arguments])
        with pytest.raises(SystemExit) as stopped:
            runpy.run_module("scripts.benchmarks.speed", run_name="__main__")
        return stopped.value.code, capsys.readouterr()

    status, shown = script("--section", "growth", "--only", "16-16-3 .*forward", "--rounds", "1", "--threads", "1")
    assert status == 0
    assert shown.out.endswith("1 of 1 rows measured\n")
    assert json.loads((tmp_path / "speed" / "growth.json").read_text())["rows"]
    assert "| (8, 16, 28, 28) → 16, K 3 | forward |" in (tmp_path / "speed" / "tables.md").read_text()
    status, shown = script("--section", "nothing")
    assert status == 1
    assert "error: `section` must be one of" in shown.err
    status, shown = script("--section", "growth", "--forget", "16-16-3", "--stop_after", "0")
    assert status == 0
    assert "forgotten:\n  growth layer 16-16-3 on 8x16x28x28 forward\n" in shown.out

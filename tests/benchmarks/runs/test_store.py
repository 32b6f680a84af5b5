"""The order of the runs, what is on disk, and that the test side opens after the choice."""

from __future__ import annotations

import gzip
import multiprocessing
import os

import numpy as np
import pytest
from crossd.errors import CrossDError

from scripts.benchmarks.runs.grid import Block, Cell, blocks
from scripts.benchmarks.runs.lines import read_lines, write_lines
from scripts.benchmarks.transfer import Recipe, Recommendation, Results, recommend
from scripts.benchmarks.transfer.tables import all_tables
from scripts.benchmarks.transfer.tested import Tested, from_json

CELL = Cell("a", "probe", 0.1)
RUNS = "runs.jsonl.gz"
TEST = Tested(np.array([0, 1, 1]), np.array([[1.5, 0.25], [-1.0, 1.23456789], [0.5, 0.5]]), ("x", "y", "y"))


def stored(results, method, auc, seed=0, cell=CELL, test=TEST):
    results.write(Block(cell, seed), method, {"val": {"auc": auc}, "seconds": 1.0}, test)


def test_ten_percent_comes_first_and_seeds_take_turns():
    order = blocks(["a", "b"], ["probe", "full"], {0.1: 10, 1.0: 5})
    assert len(order) == len(set(order)) == 2 * 2 * 15
    first = order[:4]
    assert {block.seed for block in first} == {0}
    assert {(block.cell.set, block.cell.protocol) for block in first} == {
        (s, p) for s in "ab" for p in ("probe", "full")
    }
    assert all(block.cell.fraction == 0.1 for block in order[:20]), "five seeds of 10 % before anything else"
    assert [(b.cell.fraction, b.seed) for b in order[20:36:4]] == [(1.0, 0), (0.1, 5), (1.0, 1), (0.1, 6)]


def test_the_paper_has_fifteen_folds():
    assert [block.seed for block in blocks(["a"], ["paper"], {0.1: 1})] == list(range(15))


def test_nonsense_grids_are_refused():
    with pytest.raises(CrossDError, match="`protocol` must be one of 'probe', 'full', 'paper'; got 'prob'"):
        blocks(["a"], ["prob"], {0.1: 1})
    with pytest.raises(CrossDError, match=r"must be sets, protocols and seeds, got \[\]"):
        blocks([], ["probe"], {0.1: 1})
    with pytest.raises(CrossDError, match=r"steps for each label fraction, \[0.1, 1.0\]; got 0.3"):
        Recipe().steps_at(0.3)


def test_what_is_written_is_read(tmp_path):
    results = Results(tmp_path / RUNS, Recipe())
    stored(results, "rest", 0.75, seed=4)
    block = Block(CELL, 4)
    assert (block, "rest") in results
    place = {"set": "a", "protocol": "probe", "fraction": 0.1, "seed": 4, "method": "rest"}
    assert results.read(block, "rest") == {**place, "val": {"auc": 0.75}, "seconds": 1.0}
    chosen = recommend(results, ["rest"])
    found = results.read_test(block, "rest", chosen)
    assert found.labels.tolist() == [0, 1, 1]
    assert found.log_odds[:, 1].tolist() == [-1.25, 2.23457, 0.0], "six digits"
    assert found.patients == ("0", "1", "1")
    assert list(results.runs()) == [(block, "rest")]
    assert not list(tmp_path.rglob("*.partial"))
    assert Results(tmp_path / RUNS).recipe == Recipe().as_json()


def test_three_classes_keep_all_columns(tmp_path):
    results = Results(tmp_path / RUNS, Recipe())
    three = Tested(np.array([0, 2]), np.array([[0.2, 0.3, -0.5], [0.1, -0.2, 0.7]]), ("x", "y"))
    stored(results, "rest", 0.5, test=three)
    found = results.read_test(Block(CELL, 0), "rest", recommend(results, ["rest"]))
    assert found.logits.tolist() == three.logits.tolist()


def test_more_than_ten_classes(tmp_path):
    results = Results(tmp_path / RUNS, Recipe())
    labels = np.array([0, 1, 10, 10, 2])
    stored(results, "rest", 0.5, test=Tested(labels, np.eye(11)[labels], tuple("abcde")))
    found = results.read_test(Block(CELL, 0), "rest", recommend(results, ["rest"]))
    assert found.labels.tolist() == labels.tolist()
    assert found.probabilities.argmax(1).tolist() == labels.tolist()


def test_older_files_are_read():
    old = from_json({"labels": "021", "probabilities": [[0.2, 0.3, 0.5], [0, 0, 1], [0.1, 0.7, 0.2]]})
    assert old.labels.tolist() == [0, 2, 1]
    assert old.probabilities[0] == pytest.approx([0.2, 0.3, 0.5])
    assert old.probabilities[1] == pytest.approx([0, 0, 1], abs=2e-6)


def test_other_data_or_weights_under_a_name_are_refused(tmp_path):
    results = Results(tmp_path / RUNS, Recipe())
    results.made_of({"set a": "1", "pre-training plain": "2"})
    results.made_of({"set a": "1", "set b": "3"})
    with pytest.raises(CrossDError, match=r"begun with another file for pre-training plain, set b\. Pass the files"):
        results.made_of({"pre-training plain": "9", "set b": "8", "set a": "1"})
    assert set(results.head["inputs"]) == {"set a", "set b", "pre-training plain"}


def test_one_recipe_a_file(tmp_path):
    Results(tmp_path / RUNS, Recipe())
    with pytest.raises(CrossDError, match=r"has another than is asked for: learning_rate 0\.001 -> 0.01\. Pass"):
        Results(tmp_path / RUNS, Recipe(learning_rate=0.01))
    with pytest.raises(CrossDError, match="There must be results to report"):
        Results(tmp_path / "empty.jsonl.gz")


def test_one_benchmark_a_file(tmp_path):
    results = Results(tmp_path / RUNS, Recipe())
    with (
        results.alone(),
        pytest.raises(CrossDError, match="One benchmark writes to a file at a time"),
        results.alone(),
    ):
        pass
    with results.alone():
        pass


WHOLE = gzip.compress(b'{"recipe": {}}\n')


@pytest.mark.parametrize(
    "content",
    [b"{", WHOLE[:-9], WHOLE[:12] + b"\xff" * 8, gzip.compress(b'{"val"'), gzip.compress(b"[]\n")],
    ids=["not gzip", "cut", "damaged", "not JSON", "a list"],
)
def test_a_damaged_file_is_named(tmp_path, content):
    (tmp_path / RUNS).write_bytes(content)
    with pytest.raises(
        CrossDError, match=r"is gzip-compressed JSON lines; .*runs\.jsonl\.gz is not .* Take it from the"
    ):
        Results(tmp_path / RUNS).runs()


@pytest.mark.parametrize("lines", [[], [{"recipe": {}}, {"method": "rest"}]])
def test_a_file_of_something_else_is_named(tmp_path, lines):
    write_lines(tmp_path / RUNS, lines)
    with pytest.raises(CrossDError, match=r"begins with their recipe .*; .*runs\.jsonl\.gz does not"):
        Results(tmp_path / RUNS).runs()


def test_other_names_are_refused(tmp_path):
    with pytest.raises(CrossDError, match=r"A file of results ends in \.jsonl\.gz, got .*cpu\.json\. Name it so"):
        Results(tmp_path / "cpu.json", Recipe())


def test_equal_runs_are_equal_bytes_in_any_order(tmp_path):
    """What is in the repository changes where a result does, not with the order of running."""
    names = ["rest", "running", "raw"]
    for path, order in ((tmp_path / "one" / RUNS, names), (tmp_path / "two" / RUNS, names[::-1])):
        for name in order:
            stored(Results(path, Recipe()), name, 0.5, seed=len(name))
    assert (tmp_path / "one" / RUNS).read_bytes() == (tmp_path / "two" / RUNS).read_bytes()


def store_some(path, methods):
    """What a process of a benchmark does; of the module, so that it can be started."""
    for name in methods:
        stored(Results(path, Recipe()), name, 0.5)


def test_several_processes_lose_none_of_each_others_runs(tmp_path):
    names = [[f"{who}{number}" for number in range(8)] for who in "abc"]
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=store_some, args=(tmp_path / RUNS, some)) for some in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {name for _, name in Results(tmp_path / RUNS).runs()} == {name for some in names for name in some}


def test_a_stop_while_a_run_is_stored_loses_no_other(tmp_path, monkeypatch):
    results = Results(tmp_path / RUNS, Recipe())
    stored(results, "rest", 0.5)

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        stored(results, "running", 0.5)
    monkeypatch.undo()
    assert Results(tmp_path / RUNS).runs() == [(Block(CELL, 0), "rest")]
    stored(results, "running", 0.5)
    assert len(results.runs()) == 2


def test_the_choice_is_by_validation(tmp_path):
    """`running` tests perfectly and validates worse: `rest` is recommended. The test side is not even read."""
    results = Results(tmp_path / RUNS, Recipe())
    stored(results, "rest", 0.8)
    stored(results, "running", 0.7)
    write_lines(
        tmp_path / RUNS,
        [{name: value for name, value in line.items() if name != "test"} for line in read_lines(tmp_path / RUNS)],
    )
    chosen = recommend(results, ["rest", "running", "dynamic"])
    assert chosen == Recommendation("rest", {"rest": 0.8, "running": 0.7}, 1)


def test_seeds_that_not_all_candidates_ran_do_not_count(tmp_path):
    results = Results(tmp_path / RUNS, Recipe())
    stored(results, "rest", 0.8)
    stored(results, "running", 0.9)
    stored(results, "rest", 1.0, seed=1)
    assert recommend(results, ["rest", "running"]).method == "running"


def test_folds_of_all_splits_do_not_choose(tmp_path):
    """Validation cases of the paper's folds are test cases of the official splits."""
    results = Results(tmp_path / RUNS, Recipe())
    stored(results, "rest", 0.8)
    stored(results, "running", 0.7)
    for seed in range(3):
        stored(results, "rest", 0.1, seed, Cell("a", "paper", 1.0))
        stored(results, "running", 0.9, seed, Cell("a", "paper", 1.0))
    assert recommend(results, ["rest", "running"]).validation == {"rest": 0.8, "running": 0.7}


def test_one_run_of_another_candidate_does_not_choose(tmp_path):
    results = Results(tmp_path / RUNS, Recipe())
    for seed in range(3):
        stored(results, "rest", 0.8, seed)
        stored(results, "running", 0.7, seed)
    stored(results, "dynamic", 0.9)
    with pytest.raises(CrossDError, match=r"has 1 of them, for dynamic has 1 runs and another 3\. Run it"):
        recommend(results, ["rest", "running", "dynamic"])


def test_cells_weigh_the_same(tmp_path):
    """Three seeds of one cell do not outvote one seed of another."""
    results = Results(tmp_path / RUNS, Recipe())
    for seed in range(3):
        stored(results, "rest", 0.6, seed)
        stored(results, "running", 0.5, seed)
    other = Cell("b", "full", 1.0)
    stored(results, "rest", 0.5, cell=other)
    stored(results, "running", 0.7, cell=other)
    assert recommend(results, ["rest", "running"]).method == "running"


def test_the_choice_stays(tmp_path):
    results = Results(tmp_path / RUNS, Recipe())
    stored(results, "rest", 0.8)
    stored(results, "running", 0.7)
    assert recommend(results, ["rest", "running"]).method == "rest"
    for seed in range(1, 4):
        stored(results, "rest", 0.1, seed)
        stored(results, "running", 0.9, seed)
    assert recommend(results, ["rest", "running"]).method == "rest"
    anew = recommend(results, ["rest", "running"], again=True)
    assert (anew.method, anew.earlier) == ("running", ["rest"])
    assert "**running**, chosen anew by validation AUC, when test figures could be read" in all_tables(
        results, [CELL], ["rest", "running"], anew
    )


def test_no_test_figure_before_the_choice(tmp_path):
    results = Results(tmp_path / RUNS, Recipe())
    stored(results, "rest", 0.8)
    with pytest.raises(CrossDError, match="Test cases are read after a variant was fixed by validation; got None"):
        results.read_test(Block(CELL, 0), "rest", None)
    with pytest.raises(CrossDError, match="chosen among running by runs that all of them share"):
        recommend(results, ["running"])

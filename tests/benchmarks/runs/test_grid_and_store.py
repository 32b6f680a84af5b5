"""The order of the runs, what is on disk, and that the test side opens after the choice."""

from __future__ import annotations

import json

import numpy as np
import pytest
from crossd.benchmark.transfer import Block, Cell, Recipe, Recommendation, Results, blocks, recommend
from crossd.benchmark.transfer.tables import all_tables
from crossd.benchmark.transfer.tested import Tested, from_json
from crossd.errors import CrossDError

CELL = Cell("a", "probe", 0.1)
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
    results = Results(tmp_path, Recipe())
    stored(results, "rest", 0.75, seed=4)
    block = Block(CELL, 4)
    assert (block, "rest") in results
    assert results.read(block, "rest") == {"val": {"auc": 0.75}, "seconds": 1.0}
    chosen = recommend(results, ["rest"])
    found = results.read_test(block, "rest", chosen)
    assert found.labels.tolist() == [0, 1, 1]
    assert found.log_odds[:, 1].tolist() == [-1.25, 2.23457, 0.0], "six digits"
    assert found.patients == ("0", "1", "1")
    assert list(results.runs()) == [(block, "rest")]
    assert not list(tmp_path.rglob("*.partial"))
    assert Results(tmp_path).recipe == Recipe().as_json()


def test_three_classes_keep_all_columns(tmp_path):
    results = Results(tmp_path, Recipe())
    three = Tested(np.array([0, 2]), np.array([[0.2, 0.3, -0.5], [0.1, -0.2, 0.7]]), ("x", "y"))
    stored(results, "rest", 0.5, test=three)
    found = results.read_test(Block(CELL, 0), "rest", recommend(results, ["rest"]))
    assert found.logits.tolist() == three.logits.tolist()


def test_more_than_ten_classes(tmp_path):
    results = Results(tmp_path, Recipe())
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
    results = Results(tmp_path, Recipe())
    results.made_of({"set a": "1", "pre-training plain": "2"})
    results.made_of({"set a": "1", "set b": "3"})
    with pytest.raises(CrossDError, match=r"begun with another file for pre-training plain, set b\. Pass the files"):
        results.made_of({"pre-training plain": "9", "set b": "8", "set a": "1"})
    assert set(json.loads((tmp_path / "inputs.json").read_text())) == {"set a", "set b", "pre-training plain"}


def test_one_recipe_a_folder(tmp_path):
    Results(tmp_path, Recipe())
    with pytest.raises(CrossDError, match=r"has another than is asked for: learning_rate 0\.001 -> 0.01\. Pass"):
        Results(tmp_path, Recipe(learning_rate=0.01))
    with pytest.raises(CrossDError, match="There must be results to report"):
        Results(tmp_path / "empty")


def test_one_benchmark_a_folder(tmp_path):
    results = Results(tmp_path, Recipe())
    with (
        results.alone(),
        pytest.raises(CrossDError, match="One benchmark writes to a folder at a time"),
        results.alone(),
    ):
        pass
    with results.alone():
        pass


def test_a_broken_file_is_named(tmp_path):
    results = Results(tmp_path, Recipe())
    stored(results, "rest", 0.5)
    (tmp_path / Block(CELL, 0).path("rest")).write_text('{"val"')
    with pytest.raises(CrossDError, match=r"A result must be JSON; .*seed0_rest.json is not"):
        results.read(Block(CELL, 0), "rest")


def test_the_choice_is_by_validation(tmp_path):
    """`running` tests perfectly and validates worse: `rest` is recommended. The test side is not even read."""
    results = Results(tmp_path, Recipe())
    stored(results, "rest", 0.8)
    stored(results, "running", 0.7)
    for path in tmp_path.rglob("seed*.json"):
        content = json.loads(path.read_text())
        del content["test"]
        path.write_text(json.dumps(content))
    chosen = recommend(results, ["rest", "running", "dynamic"])
    assert chosen == Recommendation("rest", {"rest": 0.8, "running": 0.7}, 1)


def test_seeds_that_not_all_candidates_ran_do_not_count(tmp_path):
    results = Results(tmp_path, Recipe())
    stored(results, "rest", 0.8)
    stored(results, "running", 0.9)
    stored(results, "rest", 1.0, seed=1)
    assert recommend(results, ["rest", "running"]).method == "running"


def test_folds_of_all_splits_do_not_choose(tmp_path):
    """Validation cases of the paper's folds are test cases of the official splits."""
    results = Results(tmp_path, Recipe())
    stored(results, "rest", 0.8)
    stored(results, "running", 0.7)
    for seed in range(3):
        stored(results, "rest", 0.1, seed, Cell("a", "paper", 1.0))
        stored(results, "running", 0.9, seed, Cell("a", "paper", 1.0))
    assert recommend(results, ["rest", "running"]).validation == {"rest": 0.8, "running": 0.7}


def test_one_run_of_another_candidate_does_not_choose(tmp_path):
    results = Results(tmp_path, Recipe())
    for seed in range(3):
        stored(results, "rest", 0.8, seed)
        stored(results, "running", 0.7, seed)
    stored(results, "dynamic", 0.9)
    with pytest.raises(CrossDError, match=r"has 1 of them, for dynamic has 1 runs and another 3\. Run it"):
        recommend(results, ["rest", "running", "dynamic"])


def test_cells_weigh_the_same(tmp_path):
    """Three seeds of one cell do not outvote one seed of another."""
    results = Results(tmp_path, Recipe())
    for seed in range(3):
        stored(results, "rest", 0.6, seed)
        stored(results, "running", 0.5, seed)
    other = Cell("b", "full", 1.0)
    stored(results, "rest", 0.5, cell=other)
    stored(results, "running", 0.7, cell=other)
    assert recommend(results, ["rest", "running"]).method == "running"


def test_the_choice_stays(tmp_path):
    results = Results(tmp_path, Recipe())
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
    results = Results(tmp_path, Recipe())
    stored(results, "rest", 0.8)
    with pytest.raises(CrossDError, match="Test cases are read after a variant was fixed by validation; got None"):
        results.read_test(Block(CELL, 0), "rest", None)
    with pytest.raises(CrossDError, match="chosen among running by runs that all of them share"):
        recommend(results, ["running"])

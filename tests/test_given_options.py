"""What was asked is what is run: a name that nothing reads ends a run before any work, and a folder's name is a name.

The command line is MONAI's, read by Fire; each case is typed as a user types it.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest
from crossd.bundle import check_overlay
from crossd.errors import CrossDError, rule_broken
from crossd.options import OPTIONS, check_given, declared, literal
from crossd.options.given import as_typed, typed_values, unread_keys
from crossd.options.option import Option
from fire.parser import DefaultParseValue as by_fire
from monai.bundle import ConfigParser
from monai.bundle.properties import InferProperties, TrainProperties

from . import configs
from .commands import python
from .configs import refused

BASES = {
    "inference_trt": ["inference"],
    "train_segmentation": ["train"],
    "train_hybrid": ["train"],
    "evaluate": ["train"],
    "evaluate_segmentation": ["train", "train_segmentation"],
    "train_2d": ["pretrain_2d"],
    "unseen_decay_2d": ["pretrain_2d"],
    "random_axes_2d": ["pretrain_2d"],
    "multi_gpu_inference": ["inference"],
    "multi_gpu_train": ["train"],
    "multi_gpu_pretrain_2d": ["pretrain_2d"],
    "multi_gpu_pretrain_ssl": ["pretrain_ssl"],
}
COMPLETE = ["inference", "inference_segmentation", "train", "pretrain_2d", "pretrain_ssl"]
SETS = [
    *([name] for name in COMPLETE),
    *([*bases, name] for name, bases in BASES.items()),
    ["inference_segmentation", "multi_gpu_inference"],
    ["train", "train_segmentation", "multi_gpu_train"],
    ["train", "train_hybrid", "evaluate"],
    ["pretrain_2d", "train_2d", "random_axes_2d", "unseen_decay_2d", "multi_gpu_pretrain_2d"],
]


def run(root: Path, monkeypatch: pytest.MonkeyPatch, line: str, *names: str) -> tuple[int, str]:
    """`python -m monai.bundle run --config_file …`: exit status, and the message of the rule that was broken."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # what a run puts in its place goes
    files = [str(root / "configs" / f"{name}.json") if "." not in name else name for name in names]
    try:
        status = python("-m", "monai.bundle", "run", "--config_file", str(files), *shlex.split(line))
    except Exception as error:
        return 1, str(rule_broken(error) or error)
    return status, ""


@pytest.mark.parametrize(
    ("line", "config", "message"),
    [
        ("--images scans --weight x", "inference", "got --weight. Did you mean --weights?"),
        ("--images scans --output-dirs x", "inference", "got --output_dirs. Did you mean --output_dir?"),
        ("--images scans --reports None", "inference", "got --reports. Did you mean --report?"),
        ("--images scans --labels x", "inference", "got --labels. It is one of train.json, "),
        ("--labels l.csv --epoch 3", "train", "got --epoch. Did you mean --epochs?"),
        ("--labels l.csv --train#epoch 3", "train", "got --train::epoch. Did you mean --epochs?"),
        ("--images scans --subcrops 3", "pretrain_ssl", "got --subcrops. Did you mean --sub_crops?"),
        ("--trainable head", "train train_segmentation", "declares; got --trainable. It is one of train.json, "),
        ("--bootstrap_sample 9", "train evaluate", "Did you mean --bootstrap_samples?"),
        ("--labels l.csv --crops 2", "train", "got --crops."),
        ("--images", "inference", "`images` must be a path or null; got no value. Write it behind --images."),
        ("--labels l.csv --epochs half", "train", "`epochs` must be a whole number; got 'half'."),
        ("--images scans --report None", "inference", "`report` must be true or false; got None."),
        ("--images scans --weights null", "inference", "`weights` must be a path; got 'null'."),
    ],
)
def test_what_nothing_reads_ends_the_run(root, tmp_path, monkeypatch, line, config, message):
    monkeypatch.chdir(tmp_path)
    status, said = run(root, monkeypatch, line, *config.split())
    assert (status, message in said, os.listdir(tmp_path)) == (1, True, []), said


@pytest.mark.parametrize(
    "typed", ["$x", "@y", "a#b", "a@#b", "1e3", "1_000", "2024", "007", "True", "a,b", "[a]", "a b"]
)
def test_a_folder_of_any_name_is_that_folder(root, tmp_path, monkeypatch, typed):
    """Seen by the message, which names the path that was looked for."""
    monkeypatch.chdir(tmp_path)
    status, said = run(root, monkeypatch, shlex.join(["--images", typed]), "inference")
    assert (status, f"'{tmp_path / typed}' does not" in said) == (1, True), said


def test_quotes_are_those_of_the_command_line(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"'{tmp_path / '2.10'}' does not" in run(root, monkeypatch, """--images '"2.10"'""", "inference")[1]


@pytest.mark.parametrize("text", ["null", "None", "none", "NONE"])
def test_no_value_has_one_meaning(root, tmp_path, monkeypatch, capsys, text):
    """MONAI drops a `None`, and the default would be taken without a word."""
    monkeypatch.chdir(tmp_path)
    first = json.loads((root / "configs" / "train.json").read_text())["run"][0]
    say = "$print('said', @options.weights, @options.class_weights)"
    (tmp_path / "mine.json").write_text(json.dumps({"run": [first, say]}))
    assert run(root, monkeypatch, f"--weights {text} --class_weights {text}", "train", "mine.json") == (0, "")
    assert capsys.readouterr().out.endswith("said None None\n")


@pytest.mark.parametrize("names", SETS, ids="+".join)
def test_every_key_of_ours_is_read(root, names):
    parser = ConfigParser()
    parser.read_config([root / "configs" / f"{name}.json" for name in names])
    parser.parse()
    lists = parser["options::config"]
    ids = {"run", "initialize", "finalize"} | {option.name for name in lists for option in OPTIONS[name]}
    left = {option.name for option in OPTIONS["train"]} if "train_segmentation" in lists else set()
    properties = TrainProperties if "train" in parser else InferProperties
    known = [*ids, *(entry["id"] for entry in properties.values())]
    assert set(unread_keys(parser.get(), known)) <= left


@pytest.mark.parametrize("name", [*COMPLETE, *BASES])
def test_the_rules_for_configs(root, name):
    """No `import crossd`, few lines, and seeds before anything is made."""
    text = (root / "configs" / f"{name}.json").read_text()
    assert "import crossd" not in text
    assert len(text.splitlines()) <= 350
    if name in COMPLETE and not name.startswith("inference"):
        assert json.loads(text)["initialize"] == ["$monai.utils.set_determinism(seed=@options.seed)"]


@pytest.mark.parametrize("name", BASES)
def test_an_overlay_alone_ends_in_a_sentence(root, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    status, said = run(root, monkeypatch, "", name)
    assert status == 1
    assert said.startswith(
        f"{name}.json changes {BASES[name][-1]}.json and is run with it, got it alone. Pass --config_file"
    )
    for file in (*BASES[name], name):
        assert f"'configs/{file}.json'" in said


@pytest.mark.parametrize(
    ("names", "words"),
    [("inference evaluate", "got it with inference.json"), ("evaluate train", "It is one of evaluate.json")],
)
def test_an_overlay_of_another_config_or_in_the_wrong_place(root, tmp_path, monkeypatch, names, words):
    monkeypatch.chdir(tmp_path)
    assert words in run(root, monkeypatch, "", *names.split())[1]


def checks(root: Path, folder: Path, own: dict, **options: object) -> None:
    """Run the checks of `train.json` with a config of somebody's own."""
    first = json.loads((root / "configs" / "train.json").read_text())["run"][0]
    (folder / "mine.json").write_text(json.dumps({"run": [first], **own}))
    configs.run("train", str(folder / "mine.json"), **options)


def test_a_config_of_ones_own(root, tmp_path):
    """Keys that are read may have any name; of others the nearest option is named."""
    checks(root, tmp_path, {"mine": "/data", "labels": "$@mine + '/labels.csv'", "_desc_": "a note"})
    checks(root, tmp_path, {"train#trainer#max_epochs": 3, "imports": ["$import os", "$import math"]})
    checks(root, tmp_path, {}, **{"train#dataset#data": [], "optimizer": {"_target_": "torch.optim.SGD"}})
    refused(lambda: checks(root, tmp_path, {"epoch": 3}), "got --epoch. Did you mean --epochs?")
    refused(lambda: checks(root, tmp_path, {"validate": {"evaluater": 1}}), "evaluater")


def test_the_keys_of_tracking_are_known(root, tmp_path):
    checks(root, tmp_path, {}, tracking="mlflow", output_dir=tmp_path / "out", run_name="first")
    refused(lambda: checks(root, tmp_path, {}, run_name="first"), "got --run_name")


def test_outside_of_a_run_nothing_is_checked():
    check_given()
    check_overlay("train", "evaluate")


def test_words_of_a_command_line_by_name():
    words = ["run", "--a", "1e3", "--b=x=y", "--c-d", "-5", "--e", "-f", "g", "--h"]
    assert typed_values(words) == {"a": "1e3", "b": "x=y", "c_d": "-5", "e": None, "f": "g", "h": None}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("series", "2.10", "2.10"),
        ("series", "['CT*','2.10',7]", ["CT*", "2.10", "7"]),
        ("series", "CT,MR", ["CT", "MR"]),
        ("negative_class", "0", 0),
        ("negative_class", "'0'", "0"),
        ("negative_class", "1e1", "1e1"),
        ("epochs", "1e1", 10),
        ("classes", "['$a','@b']", ["$a", "@b"]),
        ("labels", "$import x.csv", "$import x.csv"),
        ("labels", r"a\b'c.csv", r"a\b'c.csv"),
        ("spacing", "None", None),
    ],
)
def test_an_option_means_what_was_typed(name, text, value):
    option = declared("train")[name]
    given = as_typed(option, by_fire(text), text)
    assert option.parse(ConfigParser({name: given}).get_parsed_content(name)) == value


def test_a_switch_needs_no_value():
    assert as_typed(Option("resume", "switch", False, ""), True, None) is True
    with pytest.raises(CrossDError, match="`images` must be a path or null; got no value"):
        as_typed(Option("images", "path", None, ""), True, None)


def test_a_literal_is_what_it_is():
    names = ["plain", "$x", "@y", "%z", "a#b", "a@b", "ä$'\"\\@"]
    assert ConfigParser({"a": literal(names)}).get_parsed_content("a") == names
    assert literal("plain") == "plain"
    assert literal(None) is None

"""Laws of the command line: each command has its config's options, runs what it prints, and takes words as they are."""

from __future__ import annotations

import shlex
from pathlib import Path

import monai.bundle
import pytest
from crossd.cli import main
from crossd.cli.main import parser
from crossd.cli.runs import RUNS
from crossd.options.declared import OPTIONS, declared
from crossd.options.given import typed_values
from monai.bundle import ConfigParser

RECIPES = [(name, recipe) for name, run in RUNS.items() for recipe in run.recipes]


@pytest.fixture
def ran(monkeypatch):
    """What the commands would have run: the config files, and the content of each option."""
    calls = []
    monkeypatch.setattr(monai.bundle, "run", lambda **given: calls.append(given))
    return calls


def help_of(name):
    (commands,) = (action for action in parser()._actions if getattr(action, "choices", None))
    return {option: action for action in commands.choices[name]._actions for option in action.option_strings}


def test_every_config_that_runs_alone_has_a_command():
    run = {configs[-1] for command in RUNS.values() for configs in command.recipes.values()}
    assert {*OPTIONS} - run == {"inference_trt", "unseen_decay_2d"}  # overlays of rare use: by --config


@pytest.mark.parametrize(("name", "recipe"), RECIPES)
def test_every_option_of_a_config_has_a_line_of_help_with_its_default(name, recipe):
    shown = help_of(name)
    for option in declared(RUNS[name].recipes[recipe]).values():
        assert "default" in shown[f"--{option.name}"].help, option.name


@pytest.mark.parametrize("name", RUNS)
def test_its_example_is_read(name, ran, monkeypatch):
    monkeypatch.setattr("crossd.cli.runs.planned", lambda *arguments: {})  # its files are not there
    words = shlex.split(RUNS[name].example)
    assert words[:2] == ["crossd", name]
    assert main(words[1:]) == 0
    assert len(ran) == 1


def test_it_prints_the_command_that_it_runs(ran, capsys):
    assert main(["train", "my data", "--labels=l.csv", "--roi-size", "8", "16", "16", "--epochs", "2", "--resume"]) == 0
    printed = capsys.readouterr().out.splitlines()[0]
    words = shlex.split(printed.partition(": ")[2])
    assert words[:4] == ["python", "-m", "monai.bundle", "run"]
    (call,) = ran
    options = declared("train")
    typed = typed_values(words[4:])
    assert [typed.pop("config_file")] == call.pop("config_file")
    for content in (call, typed):
        read = {name: options[name].parse(ConfigParser(dict(content)).get_parsed_content(name)) for name in typed}
        assert read.pop("output_dir").endswith("output/train")
        assert read == {"images": "my data", "labels": "l.csv", "roi_size": [8, 16, 16], "epochs": 2, "resume": True}


def test_runs_are_named_by_their_folders_and_two_are_compared(ran, monkeypatch, tmp_path, capsys):
    compared = []
    monkeypatch.setattr(
        "crossd.evaluation.comparing.compare", lambda *given: compared.append(given) or "The runs\nare not told apart"
    )
    assert main(["evaluate", "a", "b", "--split", "all"]) == 0
    assert [Path(call["output_dir"]).name.strip("'\"") for call in ran] == ["a", "b"]
    assert {call["split"] for call in ran} == {"all"}
    assert compared == [(Path("a/evaluation"), Path("b/evaluation"), Path("b/comparison"), 1000)]
    assert "The runs\nare not told apart\nwritten to b/comparison" in capsys.readouterr().out
    assert main(["evaluate", "a"]) == 0
    assert len(compared) == 1


@pytest.mark.parametrize(("score", "lines"), [("val_auc", 7), ("val_mae", 6)])  # chance is a line
def test_two_runs_with_learning_curves_have_them_in_one_picture(score, lines, ran, monkeypatch, tmp_path):
    monkeypatch.setattr("crossd.evaluation.comparing.compare", lambda *_: "")
    runs = [tmp_path / name for name in "ab"]
    for run in runs:
        assert not (tmp_path / "b" / "comparison").exists()
        assert main(["evaluate", *map(str, runs)]) == 0
        run.mkdir()
        (run / "metrics.csv").write_text(f"epoch,learning_rate,train_loss,{score},val_loss\n1,0.1,0.7,0.5,0.7\n")
    assert main(["evaluate", *map(str, runs)]) == 0
    assert (tmp_path / "b" / "comparison" / "learning_curves.svg").read_text().count("<polyline") == lines


@pytest.mark.parametrize("folder", ["2024", "1e3", "a,b", "$x", "@y", "%z", "a#b", "$import os", "True"])
def test_a_folder_of_any_name_is_a_folder(ran, folder):
    for words in (["predict", folder], ["predict", "--images", folder]):
        assert main(words) == 0
        content = {"images": ran.pop()["images"]}
        assert ConfigParser(content).get_parsed_content("images") == folder


@pytest.mark.parametrize(
    ("words", "value"),
    [(["healthy", "ill"], ["healthy", "ill"]), (["['2.10','CT']"], ["2.10", "CT"]), (["none"], None)],
)
def test_lists_are_words_or_one_list(ran, words, value):
    assert main(["train", "--classes", *words]) == 0
    assert declared("train")["classes"].parse(ran[0]["classes"]) == value


def test_recipes_presets_and_configs_of_ones_own(ran, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("epochs: 3\n")
    assert main(["train", "--recipe", "segmentation", "--config", "mosmed", str(own), "--save_masks", "true"]) == 1
    assert main(["evaluate", "--recipe", "segmentation", "--save_masks", "--config", "mosmed", str(own)]) == 0
    names = [name.rpartition("/")[2] for name in ran[0]["config_file"]]
    assert names == ["train.json", "train_segmentation.json", "evaluate_segmentation.json", "mosmed.yaml", "own.yaml"]
    assert main(["pretrain", "--config", "random_axes_2d"]) == 0
    assert [name.rpartition("/")[2] for name in ran[1]["config_file"]] == ["pretrain_2d.json", "random_axes_2d.json"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("predct", "got 'predct'. Did you mean predict?"),
        ("train --wieghts x", "`crossd train --help` lists; got --wieghts. Did you mean --weights?"),
        ("train --save_masks", "`crossd train --help` lists; got --save_masks."),
        ("train --covariates age", "lists; got --covariates. It is one of `crossd probe` and `crossd predict`."),
        (
            "pretrain --recipe self-supervised --pseudo3d true",
            "An option must be one of the recipe, pretrain_ssl.json; got --pseudo3d.",
        ),
        ("train --epochs half", "`epochs` must be a whole number; got 'half'. Pass --epochs 50."),
        ("predict a --images b", "Images are given once; got 'a' and --images. Leave one out."),
        ("train --config mosmd", "'mosmd'"),
        ("evaluate a b c", "One run is evaluated, or two of classification are compared; got 3 of classification."),
        ("evaluate a --output_dir b", "A run is named once; got a and --output_dir b. Leave one out."),
    ],
)
def test_what_is_not_known_ends_with_the_nearest(command, said, ran, capsys):
    assert main(command.split()) == 1
    assert said in capsys.readouterr().err
    assert not ran


def test_a_run_that_ends_with_a_status_gives_it(monkeypatch):
    monkeypatch.setattr(monai.bundle, "run", lambda **given: exec("raise SystemExit(2)"))
    assert main(["predict", "scans"]) == 2


def test_what_is_not_told_by_this_library_is_not_hidden(monkeypatch):
    monkeypatch.setattr(monai.bundle, "run", lambda **given: exec("raise RuntimeError('a mistake')"))
    with pytest.raises(RuntimeError, match="a mistake"):
        main(["predict", "scans"])


def test_weights_by_name_are_listed(capsys):
    assert main(["pretrained"]) == 0
    told = capsys.readouterr().out
    assert "efficientnet-lite0" in told
    assert "4.7 million" in told
    assert "trained on ImageNet" in told


def test_a_shell_completes_commands_and_options(capsys):
    pytest.importorskip("shtab")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "--evidence_class" in script

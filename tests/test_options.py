"""What an option is read as, whatever the command line, JSON or YAML made of it; and what a config's items get."""

from __future__ import annotations

import json

import pytest
import torch
from crossd.errors import CrossDError
from crossd.options import OPTIONS, Option, changes, declared, options, refuse_changes, refuse_unknown, settings
from crossd.options.__main__ import page
from fire.parser import DefaultParseValue as as_given
from monai.bundle import ConfigParser

from .test_given_options import BASES

SWITCH = Option("resume", "switch", True, "")
NUMBER = Option("cache_gb", "number", 4, "")
INTEGER = Option("epochs", "integer", 50, "")
PATH = Option("images", "path", None, "")
SOURCES = Option("images", ("path", "paths"), None, "")
SERIES = Option("series", ("text", "texts"), None, "")
ROI = Option("roi_size", "integers", [64, 64, 64], "")
WEIGHTS = Option("class_weights", ("choice", "numbers"), "balanced", "", choices=("balanced",), optional=True)


@pytest.mark.parametrize(
    ("option", "typed", "value"),
    [
        *((SWITCH, text, True) for text in ("true", "True", "TRUE", "1", "'true'")),
        *((SWITCH, text, False) for text in ("false", "False", "0")),
        (INTEGER, "3", 3),
        (INTEGER, "'3'", 3),
        (INTEGER, "3.0", 3),
        (NUMBER, "1e-3", 0.001),
        (NUMBER, "'0.5'", 0.5),
        *((PATH, text, None) for text in ("null", "none", "None", "NULL")),
        *((WEIGHTS, text, None) for text in ("null", "none")),
        (WEIGHTS, "balanced", "balanced"),
        (WEIGHTS, "[1,2.5]", [1, 2.5]),
        (PATH, "2024", "2024"),
        (PATH, "True", "True"),
        (PATH, "007", "007"),
        (PATH, "a,b", "a,b"),
        (PATH, "'\"1e3\"'", '"1e3"'),
        (PATH, "'1e3'", "1e3"),
        (PATH, "./none", "./none"),
        (SOURCES, "a,b", "a,b"),
        (SOURCES, "['a','b,c',2024]", ["a", "b,c", "2024"]),
        (SERIES, "CT*", "CT*"),
        (SERIES, "['CT','MR']", ["CT", "MR"]),
        (ROI, "[16,32,32]", [16, 32, 32]),
        (ROI, "16,32,32", [16, 32, 32]),
        (ROI, "'[16, 32, 32]'", [16, 32, 32]),
        (Option("network_options", "mapping", {}, ""), "{'view':'slice'}", {"view": "slice"}),
        (Option("device", "device", "cpu", ""), "cpu", torch.device("cpu")),
    ],
)
def test_a_value_as_the_command_line_gives_it(option, typed, value):
    assert option.parse(as_given(typed)) == value
    assert type(option.parse(as_given(typed))) is type(value)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (SWITCH, "yes", r"`resume` must be true or false; got 'yes'\. Pass --resume true\."),
        (SWITCH, 2, r"`resume` must be true or false; got 2\."),
        (SWITCH, None, r"`resume` must be true or false; got None\."),
        (SWITCH, "null", r"`resume` must be true or false; got 'null'\."),
        (INTEGER, "half", r"`epochs` must be a whole number; got 'half'\. Pass --epochs 50\."),
        (INTEGER, 2.5, r"`epochs` must be a whole number; got 2\.5\."),
        (INTEGER, True, r"`epochs` must be a whole number; got True\."),
        (INTEGER, float("nan"), r"`epochs` must be a whole number; got nan\."),
        (INTEGER, float("inf"), r"`epochs` must be a whole number; got inf\."),
        (NUMBER, [4], r"`cache_gb` must be a number; got \[4\]\."),
        (PATH, 1000.0, r"must be a path or null; got 1000\.0\. Text that reads as a number .* --images '\"…\"'\."),
        (PATH, ["a", "b"], r"`images` must be a path or null; got \['a', 'b'\]\. Leave it out for its default\."),
        (PATH, "", r"`images` must be a path or null; got ''\."),
        (ROI, 64, r"must be a list of whole numbers, as in \[64,64,64\]; got 64\. Pass --roi_size \[64, 64"),
        (ROI, [64, "x"], r"`roi_size` must be a list of whole numbers, as in \[64,64,64\]; got \[64, 'x'\]\."),
        (WEIGHTS, "equal", r"must be balanced or a list of numbers, as in \[0\.5,1\] or null; got 'equal'"),
        (
            Option("tilt", "choice", "correct", "", choices=("correct", "refuse")),
            "Correct",
            r"must be one of 'correct', 'refuse'; got 'Correct'\. Did",
        ),
        (
            Option("mean", "number", "$@base['mean']", ""),
            "x",
            r"must be a number; got 'x'\. Leave it out for its default\.",
        ),
        (
            Option("device", "device", "cpu", ""),
            "gpu",
            r"`device` must be a device of torch, as cpu or cuda:0; got 'gpu'",
        ),
        (
            Option("network_options", "mapping", {}, ""),
            "width",
            r"must be names and values, as in \{'a':1\}; got 'width'",
        ),
    ],
)
def test_another_kind_is_refused(option, value, message):
    with pytest.raises(CrossDError, match=message):
        option.parse(value)


def parser(**keys):
    return ConfigParser({"options": {"_target_": "crossd.options.options", "config": "inference"}, **keys})


def test_items_get_options_by_their_kind():
    made = parser(images=2024, base="scans", output_dir="$@base + '/out'", resume="True", r="$(@options.resume, 1)")
    assert made.get_parsed_content("r") == (True, 1)
    read = made.get_parsed_content("options")
    assert (read.images, read.output_dir) == ("2024", "scans/out")
    made["resume"] = "no"
    with pytest.raises(CrossDError, match="`resume` must be true or false; got 'no'"):
        _ = made.get_parsed_content("options").resume


def test_a_default_may_ask_for_options_itself():
    made = parser(images="scans", output_dir="$@options.images + '/out'", where="$@options.output_dir")
    assert made.get_parsed_content("where") == "scans/out"


def test_an_overlay_adds_its_list():
    made = ConfigParser(
        {
            "options": {"_target_": "crossd.options.options", "config": ["inference", "inference_trt"]},
            "precision": "fp16",
        }
    )
    assert made.get_parsed_content("options").precision == "fp16"


def test_the_namespace_is_read_only_and_knows_its_names():
    read = parser(resume=True).get_parsed_content("options")
    with pytest.raises(CrossDError, match=r"Options are read, not set, got 'resume'\. Pass --resume VALUE"):
        read.resume = False
    with pytest.raises(CrossDError, match=r"`option` must be one of .*; got 'resumes'\. Did you mean 'resume'\?"):
        _ = read.resumes


def test_options_are_those_of_a_config():
    with pytest.raises(
        CrossDError, match=r"Options are those of a config that MONAI resolves, got 'inference' from else"
    ):
        options("inference")
    with pytest.raises(CrossDError, match=r"`config` must be one of .*; got 'inferense'\. Did you mean 'inference'\?"):
        declared("inferense")


def test_what_no_list_declares_is_refused_with_the_nearest():
    refuse_unknown("inference", ["images", "writer"], keys=["writer"])
    with pytest.raises(
        CrossDError, match=r"one that inference\.json declares; got --imagess\. Did you mean --images\?"
    ):
        refuse_unknown("inference", ["imagess"])
    with pytest.raises(CrossDError, match=r"got --zzzz\. They are listed in docs/options\.md\."):
        refuse_unknown(["inference", "inference_trt"], ["precision", "zzzz"])
    with pytest.raises(CrossDError, match=r"got --labels\. It is one of train\.json, .*evaluate_segmentation\.json\."):
        refuse_unknown("inference", ["labels"])


def test_settings_are_what_is_declared_as_compared(root, monkeypatch, tmp_path):
    config = json.loads((root / "configs" / "inference.json").read_text())
    keys = {name: config[name] for name in declared("inference")}
    monkeypatch.chdir(tmp_path)
    read = parser(**{**keys, "images": "scans", "amp": "true", "bundle_root": "."}).get_parsed_content("options")
    found = settings(read, crossd_version="1")
    assert found["images"] == str(tmp_path / "scans")
    assert (found["amp"], found["crossd_version"]) == (True, "1")
    assert set(found) == {option.name for option in OPTIONS["inference"] if option.compared} | {"crossd_version"}


def test_equal_settings_are_no_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stored = {"weights": "none", "flip_axes": [2], "images": "scans", "epochs": 2}
    assert changes(stored, {"weights": None, "flip_axes": (2,), "images": str(tmp_path / "scans"), "epochs": 2}) == []


def test_each_change_is_named(tmp_path):
    with pytest.raises(
        CrossDError, match=r"got other ones for .*: lr was 0\.1 and is 0\.2; seed was 0 and is None\. Give the same"
    ):
        refuse_changes({"lr": 0.1, "seed": 0, "epochs": 3}, {"lr": 0.2, "epochs": 3}, tmp_path)
    assert changes({}, {"processes": 2}) == ["processes was 1 and is 2"]
    assert changes({"images": "/a"}, {"images": "/b"}) == ["images was '/a' and is '/b'"]


def test_what_runs_of_old_do_not_say_is_taken_over_with_a_warning(tmp_path, caplog):
    given = {"seed": 0, "series": "CT", "tilt": "correct", "processes": 1}
    refuse_changes({"seed": 0}, given, tmp_path)
    assert "does not say its series, tilt: make sure that series is 'CT', tilt is 'correct' now as then" in caplog.text
    caplog.clear()
    refuse_changes(given, given, tmp_path)
    assert caplog.text == ""


@pytest.mark.parametrize("name", OPTIONS)
def test_a_config_holds_the_declared_defaults(root, name):
    config = {}
    for file in [*BASES.get(name, []), name]:  # an overlay takes over what it does not say
        config |= json.loads((root / "configs" / f"{file}.json").read_text())
    for option in OPTIONS[name]:
        assert config.get(option.name, "missing") == option.default, option.name
        if not (isinstance(option.default, str) and option.default[:1] in "$@"):
            assert option.parse(option.default) == option.default, option.name


def test_the_page_is_current(root):
    assert (root / "docs" / "options.md").read_text(encoding="utf-8") == page(), (
        "run: python -m crossd.options > docs/options.md"
    )


@pytest.mark.parametrize("name", OPTIONS)
def test_help_is_one_short_line(name):
    assert {option.name: option.help for option in OPTIONS[name] if not 0 < len(option.help) <= 80} == {}


# What runs compared whose options nobody had declared yet; `card`, `cases` and the like are not options.
COMPARED = {
    "train": "trainable class_weights label_smoothing",
    "train_segmentation": "crops crop_ratios allow_empty",
    "pretrain_2d": "trainable schedule step_epochs class_weights label_smoothing mixup ema "
    "crop_scale crop_ratio val_crop",
    "pretrain_ssl": "mix sub_crops min_iou loss_weights annealing_epochs algorithm",
}
ALWAYS = "weights epochs batch_size learning_rate warmup_epochs weight_decay seed amp"
OF_VOLUMES = "flip_axes affine_prob intensity_prob patience val_interval series tilt volume"
SHARED = {
    "train": f"{OF_VOLUMES} head_epochs layer_decay calibration",
    "train_segmentation": f"{OF_VOLUMES} layer_decay",
}
SHARED |= {"pretrain_2d": "flip_axes patience val_interval"}


@pytest.mark.parametrize("name", COMPARED)
def test_a_run_of_old_recorded_all_that_is_compared(name):
    """So it goes on; `UNRECORDED` names what the first ones did not record."""
    recorded = f"{ALWAYS} {COMPARED[name]} {SHARED.get(name, 'series tilt')}".split()
    later = {"fill"}  # null, as where nothing is said, is what they did
    assert {option.name for option in OPTIONS[name] if option.compared} - later == set(recorded)


def test_none_may_be_a_value_of_its_own():
    images = declared("pretrain_ssl")["images"]
    assert (images.parse("none"), images.parse("None"), images.parse(None), images.parse("a")) == (
        "none",
        "none",
        None,
        "a",
    )

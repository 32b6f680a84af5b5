"""Commands that run a config of the bundle: their options are its declared list, and they do what
`python -m monai.bundle run` does, which they print."""

from __future__ import annotations

import argparse
import shlex
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from crossd.bundle import own_root
from crossd.cli.help import add_command, nearest, say
from crossd.cli.planned import planned
from crossd.errors import CrossDError, one_of
from crossd.options.declared import declared
from crossd.options.given import literal
from crossd.options.option import NO_VALUE, Option

LISTS = ("integers", "numbers", "texts", "paths")


@dataclass(frozen=True)
class Run:
    """A command.

    Attributes:
        help: what it does, in one line.
        recipes: configs by `--recipe`, each a list of which later ones change earlier ones; the first is the default.
        example: a command line.
        output_dir: its default, in the working directory; the config's own is in the bundle.
        planned: recipes that take the settings of a plan.
        takes: which of them; None: all.
    """

    help: str
    recipes: dict[str, tuple[str, ...]]
    example: str
    output_dir: str = ""
    planned: tuple[str, ...] = ()
    takes: tuple[str, ...] | None = None


RUNS = {
    "plan": Run(
        "look at volumes before anything is trained, and propose how to train on them",
        {"plan": ("plan",)},
        "crossd plan data --labels data/labels.csv",
        "output/plan",
    ),
    "probe": Run(
        "tell in minutes, without training, whether labelled volumes can be told apart by frozen weights",
        {"probe": ("probe",)},
        "crossd probe data --labels data/labels.csv",
        "output/probe",
        ("probe",),
        ("plane", "intensity"),  # frozen weights see detail that the window of a training has no room for
    ),
    "train": Run(
        "train a classifier on your own volumes",
        {
            "classification": ("train",),
            "segmentation": ("train", "train_segmentation"),
            "hybrid": ("train", "train_hybrid"),
        },
        "crossd train data --labels data/labels.csv --output_dir output/run",
        "output/train",
        ("classification",),
    ),
    "evaluate": Run(
        "judge a trained model on its test patients, or compare two",
        {
            "classification": ("train", "evaluate"),
            "segmentation": ("train", "train_segmentation", "evaluate_segmentation"),
        },
        "crossd evaluate output/run",
        "output/train",
    ),
    "predict": Run(
        "classify volumes, with a report and maps of the evidence",
        {"classification": ("inference",)},
        "crossd predict scans --weights output/run/model.pt",
        "output/predict",
    ),
    "segment": Run(
        "segment volumes with a model that `crossd train --recipe segmentation` has made",
        {"segmentation": ("inference_segmentation",)},
        "crossd segment scans --weights output/masks/model.pt",
        "output/segment",
    ),
    "embed": Run(
        "write features of volumes by frozen weights, a row a case, for other programs",
        {"embed": ("embed",)},
        "crossd embed scans --weights efficientnet-lite0",
        "output/embed",
    ),
    "pretrain": Run(
        "train on images, or on anything without labels, before there are volumes",
        {
            "labelled-images": ("pretrain_2d",),
            "self-supervised": ("pretrain_ssl",),
            "self-supervised-2d": ("pretrain_ssl_2d",),
            "image-classifier": ("pretrain_2d", "train_2d"),
            "distil": ("distill",),
        },
        "crossd pretrain images --weights efficientnet-lite0 --output_dir output/pretrained",
        "output/pretrain",
    ),
}


def add_run(commands: Any, name: str, run: Run) -> None:
    """Add a command that runs a config, with an argument for each of its options.

    Args:
        commands: what `ArgumentParser.add_subparsers` returned.
    """
    parser = add_command(commands, name, run.help, run.example, argument_default=argparse.SUPPRESS)
    each = [option for configs in run.recipes.values() for option in ordered_options(configs)]
    help_of = {option.name: option.help for option in reversed(each)}  # the usual recipe's
    options = {option.name: replace(option, help=help_of[option.name]) for option in each}
    if "images" in options and name != "evaluate":  # which is about runs
        parser.add_argument("folder", nargs="?", metavar="IMAGES", help="the same as --images")
    if len(run.recipes) > 1:
        parser.add_argument(
            "--recipe", choices=[*run.recipes], default=next(iter(run.recipes)), help="default: %(default)s"
        )
    parser.add_argument(
        "--config",
        nargs="+",
        default=[],
        metavar="FILE",
        help="configs of your own, or names of presets and overlays, which change the command's",
    )
    parser.add_argument(
        "--bundle", default=None, metavar="DIR", help="bundle whose configs are run; default: crossd's own"
    )
    if run.planned:
        parser.add_argument(
            "--plan",
            metavar="FILE",
            help="settings of `crossd plan`; default: made where no card fits",
        )
    for option in options.values():
        parser.add_argument(f"--{option.name}", **_argument(option, run))
    parser.set_defaults(run=lambda given: run_config(run, given))


def ordered_options(configs: Sequence[str]) -> list[Option]:
    """The options of a list of configs, those of the last one first: it is what the command is about."""
    merged = declared(configs)
    last = declared(configs[-1])
    return [*(merged[name] for name in last), *(option for name, option in merged.items() if name not in last)]


def _argument(option: Option, run: Run) -> dict[str, Any]:
    default = run.output_dir if option.name == "output_dir" else option.default
    shown = "null" if default is None else str(default).lower() if isinstance(default, bool) else default
    derived = isinstance(shown, str) and shown[:1] in ("$", "@")
    about = option.help if "default:" in option.help else f"{option.help} (default: {'derived' if derived else shown})"
    several = {"nargs": "+"} if {*option.kinds} & {*LISTS} else {}
    switch = {"nargs": "?", "const": "true"} if option.kinds == ("switch",) else {}
    metavar = "|".join(option.choices) or option.kinds[0].upper()
    return {"help": about.replace("%", "%%"), "metavar": metavar, **several, **switch}


def run_config(run: Run, given: argparse.Namespace) -> int:
    """Run the config of a command with the options that were given; 0, or the exit code that the run ends with.

    Raises:
        CrossDError: for an option that the recipe has not, or a value of another kind.
    """
    recipe = getattr(given, "recipe", next(iter(run.recipes)))
    configs = run.recipes[recipe]
    root = Path(given.bundle) if given.bundle else own_root()
    files = [str(root / "configs" / f"{name}.json") for name in configs]
    files += [_config_of_user(root, name) for name in given.config]
    values = _values(configs, given)
    if "output_dir" in declared(configs):
        values.setdefault("output_dir", str(Path(run.output_dir).absolute()))
    if recipe in run.planned:
        options = declared(configs)
        start = options["weights"].default
        values |= planned(
            values, start, run.takes or [*options], getattr(given, "plan", None), root, bool(given.config)
        )
    say(f"the same as: {bundle_command(files, values)}")

    import monai.bundle

    if root == own_root():  # MONAI warns of code in configs of others
        warnings.filterwarnings("ignore", message="parsing config_file")
    overrides = {name: literal("null" if value is None else value) for name, value in values.items()}
    monai.bundle.run(config_file=files, **overrides)
    return 0


def _values(configs: Sequence[str], given: argparse.Namespace) -> dict[str, Any]:
    """What was typed, by name, as its option reads it."""
    options = declared(configs)
    typed = {name: value for name, value in vars(given).items() if name not in _OWN}
    if getattr(given, "folder", None) is not None:
        if "images" in typed:
            raise CrossDError(f"Images are given once; got {given.folder!r} and --images. Leave one out.")
        typed["images"] = given.folder
    for name in typed:
        if name not in options:
            raise CrossDError(
                f"An option must be one of the recipe, {configs[-1]}.json; got --{name}. {nearest(name, options)}"
            )
    return {name: _read(options[name], value) for name, value in typed.items()}


_OWN = ("command", "run", "recipe", "config", "bundle", "folder", "plan", "runs")


def _read(option: Option, value: Any) -> Any:
    """A value as its option reads it; of a list, one word may hold all of it as `[1,2]`."""
    if (
        isinstance(value, list)
        and len(value) == 1
        and (value[0][:1] == "[" or value[0].lower() in NO_VALUE or {"text", "texts"} & {*option.kinds})
    ):
        value = value[0]
    return value if option.kinds == ("any",) else option.parse(value)


def _config_of_user(root: Path, name: str) -> str:
    if Path(name).is_file():
        return str(Path(name).absolute())
    found = [path for pattern in ("*.json", "datasets/*.yaml") for path in (root / "configs").glob(pattern)]
    known = {path.stem: str(path) for path in found}
    return known[one_of("--config", name, sorted(known))]


def bundle_command(files: Sequence[str], values: dict[str, Any]) -> str:
    """The documented command that does the same.

    >>> bundle_command(["configs/inference.json"], {"images": "my scans", "resume": True, "series": None})
    "python -m monai.bundle run --config_file configs/inference.json --images 'my scans' --resume true --series null"
    """
    words = ["python", "-m", "monai.bundle", "run", "--config_file", files[0] if len(files) == 1 else repr([*files])]
    for name, value in values.items():
        text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        words += [f"--{name}", f"./{text}" if text.startswith("%") else text]
    return shlex.join(words)

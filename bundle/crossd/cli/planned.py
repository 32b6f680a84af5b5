"""What a training or a probe takes from a plan: the file it was given, or one that is made where no card fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossd.cards.from_weights import base_card
from crossd.checkpoints.registry import PRETRAINED
from crossd.cli.help import say
from crossd.options.declared import Options
from crossd.options.given import literal
from crossd.plan import misfits, read_plan, run_plan

OF_DATA = ("plane", "spacing", "roi_size", "intensity")  # whoever says one of these knows the data
LOOKED_AT = (
    *("images", "labels", "image", "label", "patient", "weights"),
    *("task", "classes", "series", "tilt", "volume", "device"),
)


def planned(
    values: Mapping[str, Any], start: str, names: Sequence[str], plan: str | None, root: Path, configs: bool
) -> dict[str, Any]:
    """The settings that a plan adds to what was typed.

    A plan is made, below `output_dir`, where the cases are labelled, nothing was said of how they are to be seen, and
    the card of the weights does not fit them.

    Args:
        values: what was typed, by option.
        start: the weights where none were typed: a name, or an expression for the bundle's model.
        names: of the options that a plan may set.
        plan: a file that `crossd plan` has written; None where there is none.
        root: of the bundle.
        configs: whether configs of the user's own change the command's.

    Raises:
        CrossDError: for a plan that cannot be read, and as `crossd.plan.run_plan`.
    """
    found = _made(values, start, root) if plan is None and not configs else {} if plan is None else read_plan(plan)
    return {name: value for name, value in found.items() if name in names and name not in values}


def _made(values: Mapping[str, Any], start: str, root: Path) -> dict[str, Any]:
    if values.get("labels") is None or any(name in values for name in OF_DATA):
        return {}
    settings = run_plan(_options(values, root), str(root))
    start = values.get("weights") or (str(root / "models" / "model.pt") if start.startswith("$") else start)
    folder = Path(str(values["output_dir"])) / "plan"
    if start not in PRETRAINED and Path(start).is_file():
        wrong = misfits(base_card(start, str(root))["input"], settings)
        if not wrong:
            say(f"the card of {start} fits these cases: it says how they are seen")
            return {}
        say(f"{start} does not fit these cases: {'; '.join(wrong)}")
    say(f"settings are those of {folder / 'plan.yaml'}; its page {folder / 'report.html'} says why")
    return {setting.name: setting.value for setting in settings}


def _options(values: Mapping[str, Any], root: Path) -> Options:
    from monai.bundle import ConfigParser

    parser = ConfigParser(ConfigParser.load_config_file(str(root / "configs" / "plan.json")))
    given = {name: values[name] for name in LOOKED_AT if values.get(name) is not None}
    parser.update({name: literal(value) for name, value in given.items()})
    parser["output_dir"] = literal(str(Path(str(values["output_dir"])) / "plan"))
    return Options("plan", parser)

"""Where the bundle is whose config is being run, whether this package is the one it was made with, and its own card.

MONAI does not tell a config where it lies. Its workflow object knows, and is on the call stack whenever a config item
is resolved, so the root is found there, whatever the working directory and wherever `crossd` is installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

from crossd.callers import caller_of
from crossd.errors import CrossDError, report_plainly
from crossd.version import __version__

_WHICH = (
    "task",
    "class_names",
    "negative_class",
    "label_values",
    "network",
    "input",
    "data",
    "metrics",
)  # of a card: what decides or measures answers


def bundle_root() -> str:
    """The absolute root of the bundle whose config is being resolved.

    Looked for in this order: the config file of the MONAI workflow that is resolving; the working directory, when it
    holds `configs/metadata.json` (MONAI's `ckpt_export` and `verify_net_in_out` have no workflow); the folder that
    holds this package in a bundle (`<root>/crossd` or `<root>/bundle/crossd`).

    Raises:
        CrossDError: when none of them is a bundle.
    """
    report_plainly()  # MONAI's exports ask for no more than a network, and never come to the run's own checks
    candidates = [_root_of_workflow(), Path.cwd(), *_own_places()]
    for candidate in candidates:
        if candidate is not None and _is_bundle(candidate):
            return str(candidate.resolve())
    looked = ", ".join(str(candidate) for candidate in candidates if candidate is not None)
    raise CrossDError(f"A bundle root holds configs/metadata.json; none found in {looked}. Pass --bundle_root DIR.")


def own_root() -> Path:
    """The root of the bundle that came with this package: of its clone, its bundle, or its wheel.

    Raises:
        CrossDError: when the package was taken out of all of these.
    """
    for place in _own_places():
        if _is_bundle(place):
            return place
    raise CrossDError(
        f"Commands run the configs that crossd came with; none are beside {Path(__file__).parent}. Pass --bundle DIR."
    )


def _own_places() -> list[Path]:
    """This package is `<root>/crossd` or `<root>/bundle/crossd`; a wheel has configs and model among its data files."""
    try:
        data = [Path(str(file.locate())) for file in files("crossd") or () if file.name == "metadata.json"]
    except PackageNotFoundError:
        data = []
    return [*Path(__file__).resolve().parents[1:3], *(file.resolve().parents[1] for file in data)]


def _is_bundle(folder: Path) -> bool:
    return (folder / "configs" / "metadata.json").is_file()


def _root_of_workflow() -> Path | None:
    """`config_root_path` of the `ConfigWorkflow` on the call stack, one level up when it is named `configs`."""
    from monai.bundle import ConfigWorkflow

    workflow = caller_of(ConfigWorkflow)
    if workflow is None:
        return None
    config_root = Path(workflow.config_root_path).absolute()
    return config_root.parent if config_root.name == "configs" else config_root


def check_overlay(base: str | Sequence[str], overlay: str, instead: Sequence[str] = ()) -> None:
    """Refuse to run an overlay without the config that it changes.

    Args:
        base: name of that config, without `.json`, or of several, of which the last is wanted.
        overlay: its own name.
        instead: names in the list of options that do in its place.

    Raises:
        CrossDError: with the command.
    """
    from monai.bundle import ConfigParser

    report_plainly()
    parser = caller_of(ConfigParser)
    if parser is None:
        return
    bases = [base] if isinstance(base, str) else [*base]
    beside = [] if "bundle_root" not in parser else [*parser.get("options::config", ())]
    if not {bases[-1], *instead} & {*beside}:
        others = ", ".join(f"{name}.json" for name in beside if name != overlay)
        found = f"with {others}" if others else "alone"
        files = ",".join(f"'configs/{name}.json'" for name in (*bases, overlay))
        raise CrossDError(
            f"{overlay}.json changes {bases[-1]}.json and is run with it, got it {found}. "
            f'Pass --config_file "[{files}]".'
        )


def check_version(bundle_root: str) -> str:
    """Refuse to run a bundle with another version of the package than its `metadata.json` names."""
    metadata = Path(bundle_root) / "configs" / "metadata.json"
    try:
        expected = json.loads(metadata.read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError) as error:
        raise CrossDError(f"A bundle states its version in {metadata}; it cannot be read: {error!r}.") from error
    if expected != __version__:
        raise CrossDError(
            f"A bundle runs with the crossd it was made with: {metadata} says version {expected}, but the crossd "
            f"imported from {Path(__file__).parent} is version {__version__}. Install crossd=={expected}, or run in an "
            "environment without crossd so that the bundle's own copy is used."
        )
    return __version__


def is_bundles_own(card: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Whether a card is that of the model that a bundle's metadata speaks of: name, version, intended use, figures.

    It is where all that decides or measures the answers is the same; a later version of crossd, coded findings or an
    intended use of its own make no other model.

    Args:
        card: of a checkpoint.
        metadata: the content of `metadata.json`; its entry `card` is compared.

    >>> card = {"task": "multiclass", "class_names": ["a", "b"], "crossd_version": "0.1.0"}
    >>> is_bundles_own({**card, "crossd_version": "0.2.0"}, {"card": card}), is_bundles_own(card, {})
    (True, False)
    >>> is_bundles_own({**card, "metrics": {"val_auc": 0.9}}, {"card": card})
    False
    """
    own = metadata.get("card")
    return isinstance(own, Mapping) and bool(own) and all(own.get(name) == card.get(name) for name in _WHICH)


def own_metadata(card: Mapping[str, Any], path: str | Path | None) -> dict[str, Any]:
    """A bundle's metadata, with name and version, where it speaks of a card's model; empty for any other."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    known = isinstance(found, dict) and {"name", "version"} <= set(found)
    return found if known and is_bundles_own(card, found) else {}


def metadata_beside(weights: str | Path) -> Path:
    """Where the metadata of a bundle are whose `models` folder holds a file."""
    return Path(weights).resolve().parent.parent / "configs" / "metadata.json"


def bundle_card(metadata: Path) -> Any:
    """The card in a bundle's metadata; None where there is no such file, or no card in it."""
    if not metadata.is_file():
        return None
    try:
        return json.loads(metadata.read_text(encoding="utf-8")).get("card")
    except (OSError, ValueError, AttributeError) as error:
        raise CrossDError(f"A bundle's metadata is JSON; {metadata} is not: {error}. Repair it.") from error

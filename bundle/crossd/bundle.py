"""Where the bundle is whose config is being run, and whether this package is the one it was made with.

MONAI does not tell a config where it lies. Its workflow object knows, and is on the call stack whenever a config item
is resolved, so the root is found there, whatever the working directory and wherever `crossd` is installed.
"""

from __future__ import annotations

import json
from pathlib import Path

from crossd.callers import caller_of
from crossd.errors import CrossDError, report_plainly
from crossd.version import __version__


def bundle_root() -> str:
    """The absolute root of the bundle whose config is being resolved.

    Looked for in this order: the config file of the MONAI workflow that is resolving; the working directory, when it
    holds `configs/metadata.json` (MONAI's `ckpt_export` and `verify_net_in_out` have no workflow); the folder that
    holds this package in a bundle (`<root>/crossd` or `<root>/bundle/crossd`).

    Raises:
        CrossDError: when none of them is a bundle.
    """
    candidates = [_root_of_workflow(), Path.cwd(), *Path(__file__).resolve().parents[1:3]]
    for candidate in candidates:
        if candidate is not None and (candidate / "configs" / "metadata.json").is_file():
            return str(candidate.resolve())
    looked = ", ".join(str(candidate) for candidate in candidates if candidate is not None)
    raise CrossDError(f"A bundle root holds configs/metadata.json; none found in {looked}. Pass --bundle_root DIR.")


def _root_of_workflow() -> Path | None:
    """`config_root_path` of the `ConfigWorkflow` on the call stack, one level up when it is named `configs`."""
    from monai.bundle import ConfigWorkflow

    workflow = caller_of(ConfigWorkflow)
    if workflow is None:
        return None
    config_root = Path(workflow.config_root_path).absolute()
    return config_root.parent if config_root.name == "configs" else config_root


def check_overlay(base: str, overlay: str) -> None:
    """Refuse to run an overlay without the config that it changes.

    Args:
        base, overlay: names of the configs, without `.json`.

    Raises:
        CrossDError: with the command.
    """
    from monai.bundle import ConfigParser

    report_plainly()
    parser = caller_of(ConfigParser)
    if parser is not None and "bundle_root" not in parser:
        raise CrossDError(
            f"{overlay}.json changes {base}.json and is run with it, got it alone. Pass --config_file "
            f"\"['configs/{base}.json','configs/{overlay}.json']\"."
        )


def check_version(bundle_root: str) -> str:
    """Refuse to run a bundle with another version of the package than its `metadata.json` names.

    Returns:
        The version.

    Raises:
        CrossDError: naming both versions and where each comes from.
    """
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

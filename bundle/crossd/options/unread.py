"""Keys of a config that nothing reads: an option that is misspelt, or meant for another config."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

# What a config holds for others: MONAI's notes, and the network on its device, which clients of the bundle take.
FOR_OTHERS = ("_meta_", "_desc_", "network")
# Parts of a config that an overlay has no use for, of evaluation and of masks; an overlay cannot take a key away.
LEFT_OVER = (
    *("lr_scheduler", "settings", "validate_images::evaluator"),
    *("one_hot", "activation", "input", "network_arguments", "validate::sampler"),
)


def unread_keys(config: Mapping[str, Any], known: Iterable[str] = ()) -> list[str]:
    """The keys that no part of a config refers to, those of nested entries as `outer::key`.

    What is below a component (`_target_`) is its argument, which it refuses by itself.

    >>> unread_keys({"a": 1, "b": "$@a + 1", "run": ["@b"], "weight": "x", "train": {"c": 1, "d": 2}, "e": "@train::c"})
    ['run', 'weight', 'train::d', 'e']
    """
    from monai.bundle.reference_resolver import ReferenceResolver

    read = {*known, *FOR_OTHERS, *LEFT_OVER}
    for text in _texts(config):
        read.update(ReferenceResolver.match_refs_pattern(text))
    return list(_unread(config, read, ""))


def _unread(config: Mapping[str, Any], read: set[str], outer: str) -> Iterator[str]:
    for key, value in config.items():
        name = f"{outer}{key}"
        if name in read or any(map(_imports, value if isinstance(value, list) else [value])):
            continue
        if not any(other.startswith(f"{name}::") for other in read):
            yield name
        elif isinstance(value, Mapping) and "_target_" not in value:
            yield from _unread(value, read, f"{name}::")


def _imports(value: Any) -> bool:
    from monai.bundle.config_item import ConfigExpression

    return isinstance(value, str) and bool(ConfigExpression.is_import_statement(value))


def _texts(config: Any) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    elif isinstance(config, (Mapping, list)):
        for value in config.values() if isinstance(config, Mapping) else config:
            yield from _texts(value)

"""Options as they were typed, and keys that nothing reads: MONAI reads values as Python, and `$` and `@` as its own.

Fire makes numbers of `2024` and `1e3`, MONAI evaluates what begins with `$` or `@`, reads `#` as `::` and drops `None`.
The first entry of a config's `run` is called before any of the options is used, and puts back what was typed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

from crossd.callers import arguments_of, caller_of
from crossd.errors import CrossDError, on_command_line
from crossd.options.declared import REPLACED, declared, refuse_unknown
from crossd.options.option import NO_VALUE, Option

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow

# What a config holds for others: MONAI's notes, and the network on its device, which clients of the bundle take.
FOR_OTHERS = ("_meta_", "_desc_", "network")
# Parts of a config that an overlay has no use for, of evaluation and of masks; an overlay cannot take a key away.
LEFT_OVER = (
    *("lr_scheduler", "settings", "validate_images::evaluator"),
    *("one_hot", "activation", "cross_validation", "input", "network_arguments", "validate::sampler"),
)


def check_given() -> None:
    """Put back what was typed on MONAI's command line, and refuse what is of a wrong kind or read by nothing.

    Called by a config item, so that the workflow is found; where there is none, or its config has no list of options,
    nothing is done.

    Raises:
        CrossDError: for a name that is not known, and for an option without a value or with one of another kind.
    """
    from monai.bundle import ConfigWorkflow
    from monai.bundle.properties import InferProperties, TrainProperties
    from monai.utils.enums import BundlePropertyConfig

    workflow = caller_of(ConfigWorkflow)
    lists = None if workflow is None else workflow.parser.get("options::config")
    if workflow is None or not lists:
        return
    lists = [lists] if isinstance(lists, str) else lists
    options = declared(lists)
    unknown = _type_again(workflow, options)
    config = workflow.parser.get()
    for name, option in options.items():  # now, not when it is used, which may be after hours
        if name in config and not _is_made(config[name]):
            option.parse(config[name])
    for name in lists:  # options of the config that an overlay changes, but has not itself: their keys are still there
        left = declared(REPLACED[name]).values() if name in REPLACED else ()
        options |= {option.name: option for option in left if config.get(option.name) == option.default}
    properties = TrainProperties if "train" in config else InferProperties
    ids = [str(entry[BundlePropertyConfig.ID]) for entry in properties.values()]
    read = [*options, workflow.init_id, workflow.run_id, workflow.final_id, *ids]
    refuse_unknown(lists, [*unknown, *unread_keys(config, read)])


def _is_made(value: Any) -> bool:
    """Whether MONAI makes a value of what a config says."""
    if isinstance(value, (list, tuple)):
        return any(map(_is_made, value))
    return "_target_" in value if isinstance(value, Mapping) else isinstance(value, str) and value[:1] in ("$", "@")


def literal(value: Any) -> Any:
    """What MONAI resolves to a text as it is, even one that begins with `$`, `@` or `%` or holds `#`; lists by item.

    >>> from monai.bundle import ConfigParser
    >>> ConfigParser({"images": literal(["$x", "@y", "a#b"])}).get_parsed_content("images")
    ['$x', '@y', 'a#b']
    """
    if isinstance(value, (list, tuple)):
        return [literal(one) for one in value]
    if isinstance(value, str) and (value[:1] in ("$", "%") or "@" in value or "#" in value):
        return "$" + ascii(value).replace("@", r"\x40").replace("#", r"\x23")
    return value


def typed_values(words: Sequence[str]) -> dict[str, str | None]:
    """What a command line says of each name, as text; None where a name is followed by none.

    >>> typed_values(["run", "--images", "1e3", "--output-dir=a b", "--resume"])
    {'images': '1e3', 'output_dir': 'a b', 'resume': None}
    """
    found: dict[str, str | None] = {}
    for word, following in zip(words, [*words[1:], "--"], strict=True):
        if _is_name(word):
            name, equals, text = word.lstrip("-").partition("=")
            found[name.replace("-", "_")] = text if equals else None if _is_name(following) else following
    return found


def _is_name(word: str) -> bool:
    return word.startswith("--") or re.match("-[a-zA-Z]", word) is not None


def _type_again(workflow: ConfigWorkflow, options: Mapping[str, Option]) -> list[str]:
    """Give the workflow's parser what was typed; the names given as `None`, which MONAI drops, that nothing has."""
    from monai.bundle.scripts import run, run_workflow

    call = arguments_of(run) or arguments_of(run_workflow)
    if call is None or not on_command_line():
        return []
    own = signature(type(workflow)).parameters
    given = {
        name: value for name, value in (call.get("override") or call.get("kwargs") or {}).items() if name not in own
    }
    typed = typed_values(sys.argv[1:])
    for name, value in given.items():
        again = as_typed(options[name], value, typed[name]) if name in options and name in typed else value
        if (again is not value or value is None) and name in workflow.parser:
            workflow.parser[name] = again
    return [name for name in given if name not in workflow.parser]


def as_typed(option: Option, value: Any, text: str | None) -> Any:
    """The content of a config for an option that the command line gave.

    Args:
        value: what Fire has made of it.
        text: as it was typed; None: nothing was.

    >>> as_typed(Option("images", "path", None, ""), 1000.0, "1e3")
    '1e3'
    """
    if text is None:
        if option.kinds == ("switch",):
            return value
        raise CrossDError(f"`{option.name}` must be {option.takes}; got no value. Write it behind --{option.name}.")
    kinds = {*option.kinds}
    a_list = isinstance(value, (list, tuple)) and not ("path" in kinds and text[:1] not in "[(")
    if value is None or text.lower() in NO_VALUE or not kinds & {"path", "text", "paths", "texts"}:
        return value
    if a_list and kinds & {"paths", "texts"}:
        return literal(value)
    if "index" in kinds and type(value) is int:
        return value
    quoted = isinstance(value, str) and len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return literal(value if quoted else text)


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

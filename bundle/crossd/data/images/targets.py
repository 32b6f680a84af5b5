"""What a network is taught of an image: the index of its class, or (multilabel) 0 or 1 for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from crossd.cards.rules import CLASSIFICATION
from crossd.data.images.sources import ImageSource
from crossd.errors import CrossDError, one_of


def task_of(sources: Sequence[ImageSource], task: str | None = None) -> str:
    """`"multiclass"` or `"multilabel"`, as the sources are.

    Args:
        sources: of one training.
        task: what the user says; None: nothing.

    Raises:
        CrossDError: for sources of both kinds, and for another task than theirs.
    """
    if task is not None:
        one_of("task", task, CLASSIFICATION)
    of_source = {source.task: source for source in sources}
    if len(of_source) > 1:
        raise CrossDError(
            "Images of one training have all one label, or all any number of labels; got both: "
            f"{', '.join(f'{source.path} is {name}' for name, source in sorted(of_source.items()))}. Train on them "
            "apart."
        )
    found = next(iter(of_source))
    if task not in (None, found):
        raise CrossDError(
            f"The task of a training is that of its images, got task {task!r} for {of_source[found].path}, which is "
            f"{found}. Leave --task out."
        )
    return found


def as_text(names: Sequence[str], task: str) -> str:
    """Labels as lists have them: several are joined by `;`, none is `none`.

    >>> as_text(["Mass", "Edema"], "multilabel"), as_text([], "multilabel"), as_text(["ct"], "multiclass")
    ('Mass;Edema', 'none', 'ct')
    """
    return names[0] if task == "multiclass" else ";".join(names) or "none"


def as_target(names: Sequence[str], index: Mapping[str, int], task: str) -> int | np.ndarray:
    """The index of the class; for multilabel float32 `(classes,)`, 1 for those that are named.

    >>> as_target(["mr"], {"ct": 0, "mr": 1}, "multiclass")
    1
    >>> as_target(["mr"], {"ct": 0, "mr": 1}, "multilabel").tolist()
    [0.0, 1.0]
    """
    if task == "multiclass":
        return index[names[0]]
    target = np.zeros(len(index), np.float32)
    target[[index[name] for name in names]] = 1
    return target


def classes_of(target: int | np.ndarray) -> list[int]:
    """The indices that a target names.

    >>> classes_of(1), classes_of(np.array([0, 1, 1], np.float32))
    ([1], [1, 2])
    """
    return [target] if isinstance(target, int) else np.flatnonzero(target).tolist()

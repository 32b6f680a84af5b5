"""A data set of cases in which one that cannot be read does not end the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from monai.data import Dataset

from crossd.data.case_names import printable
from crossd.errors import CrossDError
from crossd.inference.identity import case_key, file_stems

Case = dict[str, Any]


class CaseDataset(Dataset):
    """MONAI's `Dataset`, except that a case whose preprocessing fails becomes an item that says why.

    Args:
        data: items of `crossd.data.find_cases`: dictionaries with "image", and as far as they have them "case",
            "source", "warnings" and "error".
        transform: the preprocessing; it turns "image" into a `MetaTensor (channel, depth, height, width)`.

    Each item holds "case" and "source" (str), "sources" (what "image" was before it was read), "warnings" (list of str,
    those of the image's meta included), "error" (str, or None), and "image", which is None where "error" is not; and
    which case it is: "number" (its place in `data`), "name" (for its files; no other case has it) and "key" (see
    `case_key`).

    >>> def read(item):
    ...     raise CrossDError(f"{item['image']} is truncated: fetch it again")
    >>> CaseDataset([{"case": "a", "source": "/a.nii.gz", "image": "/a.nii.gz"}], read)[0]["error"]
    '/a.nii.gz is truncated: fetch it again'
    """

    def __init__(self, data: Sequence[Case], transform: Callable[[Case], Case]) -> None:
        super().__init__(data, transform)
        self._names: list[str] = []

    @property
    def names(self) -> list[str]:
        """A name for the files of each case."""
        if len(self._names) != len(self.data):  # items may be changed before the run
            self._names = file_stems(_name(given, number) for number, given in enumerate(self.data))
        return self._names

    def _transform(self, index: int) -> Case:
        given = self.data[index]
        item = {
            **given,
            "case": _name(given, index),
            "number": index,
            "name": self.names[index],
            "key": case_key(given),
            "source": printable(given.get("source", str(given.get("image")))),
            "warnings": [printable(warning) for warning in given.get("warnings") or []],
            "error": None if given.get("error") is None else printable(given["error"]),
            "sources": given.get("image"),
        }
        if item["error"] is not None:
            return {**item, "image": None}
        try:
            image = self.transform({key: given[key] for key in ("image", "mask") if key in given})["image"]
        except Exception as error:  # whatever one file holds, the others are done
            return {**item, "image": None, "error": reason(error)}
        noted = getattr(image, "meta", {}).get("warnings") or []
        noted = noted.splitlines() if isinstance(noted, str) else noted  # `read_volume` writes one line each
        item["warnings"] += [warning for warning in map(printable, noted) if warning not in item["warnings"]]
        return {**item, "image": image}


def _name(given: Case, number: int) -> str:
    return str(given.get("case", number))


def collate_cases(items: list[Case]) -> list[Case]:
    """Cases differ in size, so a batch is the list of them."""
    return items


def reason(error: BaseException) -> str:
    """What to tell the user about an exception: our own message, or the first cause with its type, in one line.

    MONAI wraps what a transform raises in a `RuntimeError` that names the transform; what the user needs is underneath.

    >>> try:
    ...     try:
    ...         raise EOFError("Compressed file ended")
    ...     except EOFError as cause:
    ...         raise RuntimeError("applying transform <...>") from cause
    ... except RuntimeError as wrapped:
    ...     reason(wrapped)
    'EOFError: Compressed file ended'
    """
    while not isinstance(error, CrossDError) and error.__cause__ is not None:
        error = error.__cause__
    text = printable(" ".join(str(error).split()))
    return text if isinstance(error, CrossDError) else f"{type(error).__name__}: {text}"

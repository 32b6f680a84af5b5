"""The columns that a model takes beside the image, for the cases of a run: each finds its row by its image."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossd.cards.covariates import Covariates, figures_of
from crossd.data.case_table import resolve_cell
from crossd.data.delimited import read_table
from crossd.errors import CrossDError


class CovariateTable:
    """Gives cases of `crossd.data.find_cases` their row of a table.

    Args:
        path: CSV or .xlsx with a column `image` (or what the table of the probe called it) and the columns of the card;
            None: `images`, if that is a table. Relative paths in it start at its folder, or at that of the images.
        card: the model's, whose `covariates` say what it needs.
        images: what is answered, a folder, a file or a table.

    Raises:
        CrossDError: for a model that needs a table and gets none, one that takes none and gets one, a table without
            these columns, and one with two rows for an image.

    >>> CovariateTable(None, {"task": "multiclass"}).of({"case": "a", "image": ["/a.nii"]})
    {'case': 'a', 'image': ['/a.nii']}
    """

    def __init__(self, path: str | None, card: Mapping[str, Any], images: str | None = None) -> None:
        self.covariates = Covariates.of(card)
        self.path, self.rows = path, {}
        if self.covariates is None:
            if path is not None:
                raise CrossDError(
                    f"This model takes nothing but images, got --covariates {path}. Leave it out; crossd probe "
                    "--covariates makes a model that takes columns too."
                )
            return
        names = ", ".join(self.covariates.columns)
        if path is None and images is not None and images.lower().endswith((".csv", ".tsv", ".xlsx")):
            path = self.path = images
        if path is None:
            raise CrossDError(
                f"This model needs {names} of each case beside its image, got no table. Pass --covariates FILE.csv "
                f"with the columns {self.covariates.image[0]}, {names}."
            )
        self.rows = self._read(Path(os.path.expanduser(path)), images, names)

    def _read(self, path: Path, images: str | None, names: str) -> dict[str, dict[str, str]]:
        assert self.covariates is not None
        table = read_table(path, "A table of covariates")
        first = self.covariates.image[0]
        called = next((name for name in (first, "image", "image_1") if name in table.columns), None)
        absent = [*([] if called else [first]), *table.lacking(self.covariates.columns)]
        if called is None or absent:
            raise CrossDError(
                f"The table of this model has the columns {first}, {names}; {path} lacks {', '.join(absent)}, it has "
                f"{', '.join(map(repr, table.columns))}. Add or rename them."
            )
        folders = [path.absolute().parent, *([Path(images)] if images and Path(images).is_dir() else [])]
        places = [[resolve_cell(folder, row[called]) for row in table.rows] for folder in folders]
        found = {place: row for of_folder in reversed(places) for place, row in zip(of_folder, table.rows, strict=True)}
        doubled = [(number, place) for number, place in enumerate(places[0]) if place and place in places[0][:number]]
        table.refuse("Every image has one row", doubled, "Drop the other rows.")
        return found

    def of(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """The item with its row as `covariates`, or with the reason why it cannot be answered as `error`."""
        if self.covariates is None or item.get("error") is not None:
            return dict(item)
        row = self.rows.get(str(item.get("source")))
        if row is None:
            why = f"The model needs a row of each image; {item.get('source')} has none in {self.path}. Add it."
            return {**item, "error": why}
        try:
            figures_of(self.covariates.columns, row)
        except CrossDError as error:
            return {**item, "error": str(error)}
        return {**item, "covariates": {name: row[name] for name in self.covariates.columns}}

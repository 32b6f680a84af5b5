"""Which series of a disk are meant: by description, modality, number or UID."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from crossd.data.dicom.non_scans import Label
from crossd.errors import CrossDError

_MOST_LISTED = 20


class SeriesFilter:
    """A choice of series.

    Args:
        patterns: None for all series; a text or a list of texts, of which a series must fit at least one. A text fits a
            series whose SeriesInstanceUID (0020,000E), Modality (0008,0060) or SeriesNumber (0020,0011) it is, or whose
            SeriesDescription (0008,103E). Case does not matter; `*`, `?` and `[…]` stand for any text, any character
            and one of several.

    Raises:
        CrossDError: when a pattern is empty or is no text.

    >>> SeriesFilter("*flair*").fits(Label("1.2.3", "MR", "t2_FLAIR_ax", 4))
    True
    >>> SeriesFilter(["CT", "pt"]).fits(Label("1.2.3", "MR", "CT", 4))  # a description may be called so
    True
    """

    def __init__(self, patterns: str | int | Sequence[str | int] | None) -> None:
        if isinstance(patterns, (str, int)):
            patterns = [patterns]
        if patterns is not None:
            wrong = [
                item for item in patterns if isinstance(item, bool) or not isinstance(item, (str, int)) or item == ""
            ]
            if wrong or not patterns:
                raise CrossDError(
                    f"A series filter must be a text or a list of texts, got {wrong[0] if wrong else patterns!r}. "
                    "Examples: '*flair*', 'CT', or a SeriesInstanceUID."
                )
        self.patterns = None if patterns is None else tuple(str(item) for item in patterns)

    def fits(self, label: Label) -> bool:
        """Whether the series is chosen."""
        return self.patterns is None or self._any(label.uid, label.modality, label.description, str(label.number))

    def names(self, label: Label) -> bool:
        """Whether it is chosen by description or UID, and not only as one of a modality or number."""
        return self._any(label.uid, label.description)

    def _any(self, *texts: str) -> bool:
        patterns = [pattern.lower().strip() for pattern in self.patterns or ()]
        return any(fnmatchcase(text.lower(), pattern) for text in texts if text for pattern in patterns)

    def check_found(self, labels: Iterable[Label]) -> None:
        """Refuse a filter that none of the series there fits."""
        there = sorted(set(labels), key=lambda label: (label.number, str(label)))
        if self.patterns is None or not there or any(self.fits(label) for label in there):
            return
        more = f"; and {len(there) - _MOST_LISTED} more" if len(there) > _MOST_LISTED else ""
        raise CrossDError(
            f"A series filter must fit a series: {', '.join(map(repr, self.patterns))} fits none of the {len(there)} "
            f"there. Choose by description, modality or UID among: {'; '.join(map(str, there[:_MOST_LISTED]))}{more}"
        )

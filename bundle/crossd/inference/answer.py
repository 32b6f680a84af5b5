"""What became of a case: the one form in which a run writes, keeps and shows it, and why the network said so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from crossd.inference.case_dataset import Case
from crossd.inference.evidence import WindowMap

STATUSES = ("ok", "failed", "skipped")
KINDS = ("evidence", "saliency", "mask", "structured_report")
"""The files of a case, each under its kind in `Answer.files`."""


@dataclass(frozen=True)
class Answer:
    """What became of a case.

    Attributes:
        case: what the case is called.
        source: path to show.
        status: "ok", "failed", or "skipped" for what is no scan.
        reason: why it has no answer, or not all of it.
        warnings: what was noted about it.
        files: paths below the output folder by kind, one of `KINDS`; None for a kind that the task writes and of which
            this case has no file.
        details: what the task says, JSON-able; see `Classification` and `crossd.segmentation.Segmentation`.

    >>> answer = Answer("a", "/a.nii", "ok", files={"mask": "masks/a.nii.gz"}, details={"voxels": {"box": 3}})
    >>> Answer.from_dict(answer.as_dict()) == answer
    True
    """

    case: str
    source: str
    status: str
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    files: Mapping[str, str | None] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def without(
        cls, case: Case, reason: str | None, files: Mapping[str, str | None], details: Mapping[str, Any]
    ) -> Answer:
        """Of a case that failed, or is no scan; `files` and `details` say what there would have been."""
        status = "skipped" if case.skipped else "failed"
        return cls(case.case, case.source, status, reason, case.warnings, files, details)

    def noting(self, warning: str) -> Answer:
        """The same with one more warning."""
        return replace(self, warnings=(*self.warnings, warning))

    def as_dict(self) -> dict[str, Any]:
        """As the journal and the JSON table hold it: one level, files and details among the rest."""
        return {
            "case": self.case,
            "source": self.source,
            **self.details,
            "status": self.status,
            "reason": self.reason,
            "warnings": list(self.warnings),
            **self.files,
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> Answer:
        """What `as_dict` returned, now or by an earlier version of this package.

        Raises:
            KeyError: for what is no answer.
        """
        own = ("case", "source", "status", "reason", "warnings")
        return cls(
            case=entry["case"],
            source=entry["source"],
            status=entry["status"],
            reason=entry["reason"],
            warnings=tuple(entry["warnings"]),
            files={kind: entry[kind] for kind in KINDS if kind in entry},
            details={name: value for name, value in entry.items() if name not in (*own, *KINDS)},
        )


@dataclass(frozen=True)
class Explanation:
    """Maps over a case for one class.

    Attributes:
        shown: the class; empty where there are no maps.
        maps: by kind, "evidence" or "saliency".
        missing: why a map is not there that was asked for.
    """

    shown: str = ""
    maps: Mapping[str, WindowMap] = field(default_factory=dict)
    missing: str | None = None

"""Structured Reports on disk until somebody has accepted them, and after."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossd.files import replaced
from crossd.serve.ledger import Ledger, Report
from crossd.serve.series_versions import Version
from crossd.version import __version__


class Outbox:
    """The reports of a watcher, as files named by their SOPInstanceUID: `outbox/` waits, `sent/` was accepted.

    Args:
        state: the state folder; both are made in it.
        model: digest of the model's weights. The same model on the same content gives reports of the same UIDs, even
            where the state was lost, so that whoever has one already knows it again.
    """

    def __init__(self, state: Path, model: str) -> None:
        self.waiting, self.accepted = state / "outbox", state / "sent"
        self.model = model
        for folder in (self.waiting, self.accepted):
            folder.mkdir(parents=True, exist_ok=True)

    def put(
        self, file: Path, version: Version, volume: str, answer: Mapping[str, Any], earlier: Sequence[Report] = ()
    ) -> Report:
        """Take over a report that inference wrote, under UIDs that do not depend on when; its file stays.

        Args:
            volume: which part of the series of `version` it is about.
            earlier: reports on an earlier version, which it replaces (PredecessorDocumentsSequence, 0040,A360).

        Raises:
            OSError: when it cannot be written.
        """
        from pydicom import dcmread
        from pydicom.uid import generate_uid

        source = ["crossd report", version.identifier, volume, self.model, __version__]
        dataset = dcmread(file)
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=source)
        dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[*source, "series"])
        if earlier:
            dataset.PredecessorDocumentsSequence = _references(earlier, dataset.SOPClassUID)
        report = Report(
            str(dataset.SOPInstanceUID), str(dataset.SeriesInstanceUID), str(dataset.StudyInstanceUID), volume, answer
        )
        with replaced(self.path(report.uid)) as part:
            dataset.save_as(part, enforce_file_format=True)
        return report

    def path(self, uid: str) -> Path:
        """Where a report waits."""
        return self.waiting / f"{uid}.dcm"

    def sent(self, uid: str) -> None:
        """A report is accepted, and the ledger says so."""
        os.replace(self.path(uid), self.accepted / f"{uid}.dcm")

    def tidy(self, ledger: Ledger) -> None:
        """Bring the files in line with the ledger, as after an end at any moment."""
        for part in self.waiting.glob(".*.part"):
            part.unlink()
        for file in self.waiting.glob("*.dcm"):
            state = ledger.state_of(file.stem)
            if state == "sent" and not (self.accepted / file.name).exists():  # accepted, and not moved any more
                self.sent(file.stem)
            elif state != "waiting":  # written, and never entered into the ledger: its series is classified again
                file.unlink()
        for uid in ledger.waiting():
            if not self.path(uid).is_file():
                ledger.revoke(uid)


def _references(reports: Sequence[Report], sop_class: str) -> list[Any]:
    """Reports of one study by series and instance (PS3.3, hierarchical SOP instance reference macro, table C.17-3)."""
    from pydicom.dataset import Dataset

    study = Dataset()
    study.StudyInstanceUID = reports[0].study_uid  # of one series, so of one study
    study.ReferencedSeriesSequence = []
    for report in reports:
        instance, series = Dataset(), Dataset()
        instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = sop_class, report.uid
        series.ReferencedSOPSequence, series.SeriesInstanceUID = [instance], report.series_uid
        study.ReferencedSeriesSequence.append(series)
    return [study]

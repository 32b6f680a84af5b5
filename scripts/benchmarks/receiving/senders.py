"""Many senders at once, each over one association after the other, and what they were told."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import numpy as np

TITLE = "SENDER"


def make_slice(series: str, number: int) -> Any:
    """One CT slice of 64 × 64, whose pixels follow from its UIDs."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = UID(f"{series}.{number + 1}")
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID, dataset.PatientID = series, f"{series}.0", "phantom"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", 1, number + 1
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, number], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [1, 1], 1
    dataset.Rows = dataset.Columns = 64
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 0, 1
    dataset.PhotometricInterpretation, dataset.RescaleSlope, dataset.RescaleIntercept = "MONOCHROME2", 1, 0
    dataset.PixelData = pixels_of(series, number)
    return dataset


def pixels_of(series: str, number: int) -> bytes:
    """The pixels of a slice, made again for the comparison."""
    seed = [int(part) for part in series.split(".")[-2:]]
    return np.random.default_rng([*seed, number]).integers(0, 1000, (64, 64)).astype("<u2").tobytes()


class Senders:
    """Threads that send series until told to stop.

    Args:
        port: of the receiver on this machine, called CROSSD.
        count: associations at once.
        slices: objects of each association, which is one series.
        pause: seconds between two objects.

    Attributes:
        accepted: `(series, number)` of each object whose status was 0.
        counts: of what came: associations, rejected, other statuses, ended.
        open: associations that are there now.
        most: of these, at once.
    """

    def __init__(self, port: int, count: int, slices: int = 20, pause: float = 4.0) -> None:
        self.port, self.slices, self.pause = port, slices, pause
        self.accepted: list[tuple[str, int]] = []
        self.counts: Counter[str] = Counter()
        self.open = self.most = 0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(one,), daemon=True) for one in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the series at hand."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self, sender: int) -> None:
        from pynetdicom import AE
        from pynetdicom.sop_class import CTImageStorage  # type: ignore[attr-defined]

        run = 0
        while not self._stop.is_set():
            run += 1
            entity = AE(ae_title=TITLE)
            entity.acse_timeout = entity.dimse_timeout = 120
            entity.network_timeout = None
            entity.add_requested_context(CTImageStorage, "1.2.840.10008.1.2.1")
            association = entity.associate("127.0.0.1", self.port, ae_title="CROSSD")
            if not association.is_established:
                self._count("rejected" if association.is_rejected else "not_associated")
                time.sleep(1)
                continue
            association.dul._run_loop_delay = 0.02  # a hundred senders share this process
            self._count("associations", 1)
            self._series(association, f"1.2.826.0.1.3680043.10.1.{sender + 1}.{run}")
            association.release()
            self._count("", -1)

    def _series(self, association: Any, series: str) -> None:
        left = list(range(self.slices))
        while left and association.is_established:
            status = association.send_c_store(make_slice(series, left[0])).get("Status")
            association._reactor_checkpoint.clear()
            if status == 0:
                with self._lock:
                    self.accepted.append((series, left.pop(0)))
            else:
                self._count(f"status_{status}" if status is not None else "ended")
            time.sleep(self.pause)
        association._reactor_checkpoint.set()

    def _count(self, what: str, opened: int = 0) -> None:
        with self._lock:
            self.open += opened
            self.most = max(self.most, self.open)
            if what:
                self.counts[what] += 1

"""Series to classify, a model of a few kilobytes, and a DICOM node that takes reports as a PACS does."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import numpy as np
from crossd.cards.from_data import model_card
from crossd.data import write_dicom_series
from crossd.serve import Node

from ..configs import card_input

ROOT = Path(__file__).resolve().parents[2]
CARD = model_card("multiclass", ["healthy", "aneurysm"], {"depth": 10, "width": 4}, card_input(16), 0, "made up")
PATIENT = "Hildegardsdottir"  # a name that must not be told
WAIT = 60  # seconds, on a machine that does other things


def make_series(folder, seed=0, slices=6, **tags):
    """Slices of a small volume; the same seed gives the same patient, study and series."""
    volume = np.random.default_rng(seed).integers(0, 1000, (10, 9, slices)).astype(np.int16)
    tags = {"PatientName": PATIENT, "SeriesNumber": seed + 1, **tags}
    uid = tags.pop("series_uid", f"1.2.826.0.1.3680043.8.498.{seed + 1}")
    return write_dicom_series(
        folder, volume, np.diag([-1.0, -1, 2, 1]), modality="CT", series_uid=uid, patient_id=f"p{seed}", **tags
    )


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def until(true, seconds=WAIT):
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not come about"
        time.sleep(0.05)


class Sink:
    """A node that keeps what it accepts, and refuses as told.

    `statuses` are given one after the other to what comes first, then 0; `received` holds what was accepted, each time
    it was, by SOPInstanceUID.
    """

    def __init__(self, port=0, title="SINK", calling=("CROSSD",)):
        from pynetdicom import AE, evt
        from pynetdicom.sop_class import ComprehensiveSRStorage

        self.statuses: list[int] = []
        self.seen: list = []
        self.lock = threading.Lock()
        entity = AE(ae_title=title)
        entity.require_called_aet, entity.require_calling_aet = True, list(calling)
        entity.add_supported_context(ComprehensiveSRStorage)
        self.server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, self.take)])
        self.node = Node("SINK", "127.0.0.1", self.server.server_address[1])

    def take(self, event):
        with self.lock:
            status = self.statuses.pop(0) if self.statuses else 0
            if status == 0 or status >> 12 == 0xB:
                self.seen.append(event.dataset)
            return status

    @property
    def received(self):
        found: dict[str, list] = {}
        for dataset in self.seen:
            found.setdefault(str(dataset.SOPInstanceUID), []).append(dataset)
        return found

    def stop(self):
        self.server.shutdown()

"""A DICOM node of our own that others send series to: into the watched folder, from known callers only."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError
from crossd.serve.complaints import Complaints
from crossd.serve.nodes import Node, check_ae_title
from crossd.serve.received import ANOTHER_OBJECT, CANNOT_UNDERSTAND, HEADER, OUT_OF_RESOURCES, UID, Received, uids_of

_IMAGES = (
    "CTImageStorage",
    "EnhancedCTImageStorage",
    "LegacyConvertedEnhancedCTImageStorage",
    "MRImageStorage",
    "EnhancedMRImageStorage",
    "LegacyConvertedEnhancedMRImageStorage",
    "PositronEmissionTomographyImageStorage",
    "EnhancedPETImageStorage",
    "LegacyConvertedEnhancedPETImageStorage",
    "NuclearMedicineImageStorage",
    "EnhancedUSVolumeStorage",
    "XRay3DAngiographicImageStorage",
    "XRay3DCraniofacialImageStorage",
    "BreastTomosynthesisImageStorage",
    "SecondaryCaptureImageStorage",
    "MultiFrameGrayscaleByteSecondaryCaptureImageStorage",
    "MultiFrameGrayscaleWordSecondaryCaptureImageStorage",
)
_SYNTAXES = (
    "ExplicitVRLittleEndian",
    "ImplicitVRLittleEndian",
    "DeflatedExplicitVRLittleEndian",
    "ExplicitVRBigEndian",
    "RLELossless",
    "JPEGBaseline8Bit",
    "JPEGExtended12Bit",
    "JPEGLossless",
    "JPEGLosslessSV1",
    "JPEGLSLossless",
    "JPEGLSNearLossless",
    "JPEG2000Lossless",
    "JPEG2000",
    "HTJ2KLossless",
    "HTJ2KLosslessRPCL",
    "HTJ2K",
)
TIMEOUT = 60.0

logger = logging.getLogger(__name__)


class Receiver:
    """Takes images by C-STORE and writes each to `<study>/<series>/<instance>.dcm`, whole or not at all.

    Args:
        allowed: AE titles of those who may send; others are rejected.
        folder: for the files, see `Received`.

    Raises:
        CrossDError: without anybody who may send, or when the address cannot be listened at.

    AE titles are no passwords and the connection is not encrypted: whoever reaches the port can claim to be allowed.
    """

    def __init__(self, node: Node, allowed: Sequence[str], folder: Path) -> None:
        if not allowed:
            raise CrossDError(
                f"A listener must know who may send to it: {node} has no AE titles to allow. Name them by --allow, for "
                "instance --allow ORTHANC."
            )
        self.node = node
        self.allowed = [check_ae_title(title) for title in allowed]
        self.folder = folder
        self.files = Received(folder)
        self.complaints = Complaints()
        self._server: Any = None

    def start(self) -> None:
        """Listen, in threads of its own."""
        from pynetdicom import AE, evt
        from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

        from crossd.serve.gate import TO_ASSOCIATE, Gate
        from crossd.serve.peer import LONGEST_PDU

        self.files.tidy()
        entity = AE(ae_title=self.node.ae_title)
        entity.acse_timeout, entity.dimse_timeout, entity.network_timeout = TO_ASSOCIATE, TIMEOUT, TIMEOUT
        entity.maximum_pdu_size = LONGEST_PDU
        entity.maximum_associations = 10**6  # the gate has counted them
        entity.add_supported_context(Verification)
        for uid, syntaxes in image_contexts():
            entity.add_supported_context(uid, syntaxes)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_ACCEPTED, self._accepted)]
        options: dict[str, Any] = {"allowed": self.allowed, "folder": self.folder, "complaints": self.complaints}
        try:
            self._server = entity.make_server(
                (self.node.host, self.node.port), evt_handlers=handlers, server_class=Gate, **options
            )
        except OSError as error:
            raise CrossDError(
                f"A listener needs an address of this machine and a free port: {self.node} is none "
                f"({error.strerror or error}). Choose another by --listen."
            ) from error
        threading.Thread(target=self._server.serve_forever, name="listener", daemon=True).start()
        logger.info("listening as %s, to %s only", self.node, ", ".join(self.allowed))
        if not (self.node.host.startswith("127.") or self.node.host in ("localhost", "::1")):
            logger.warning("%s can be reached from other machines, and DICOM is not encrypted", self.node)

    def stop(self) -> None:
        """Close the port, and end what is under way; who was not answered sends again."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _store(self, event: Any) -> int:
        """C-STORE: success is said when the file is on the disk under its name."""
        arriving = event.request.DataSet
        try:
            status, why = self._judged(event, arriving) or (0, "")
        except OSError as error:
            status, why = OUT_OF_RESOURCES, error.strerror or type(error).__name__
        except Exception as error:  # pydicom raises whatever the bytes lead it to
            status, why = CANNOT_UNDERSTAND, f"it cannot be read ({type(error).__name__})"
        finally:
            if arriving is not None:
                arriving.close()
            event.assoc.dimse.peer.get_on()
        if status:
            level = logging.ERROR if status == OUT_OF_RESOURCES else logging.WARNING
            self.complaints.say(_address(event), "refused an object", why, _title(event), level)
        return status

    def _judged(self, event: Any, arriving: Any) -> tuple[int, str] | None:
        """Write an object; or the status to answer with, and why. `OSError`: the disk is full, say."""
        if arriving is None or arriving.refusal:
            return arriving.refusal if arriving is not None else (CANNOT_UNDERSTAND, "it has no data set")
        from pydicom.uid import UID as TransferSyntax
        from pynetdicom.dsutils import encode_file_meta

        request, syntax = event.request, TransferSyntax(event.context.transfer_syntax)
        said = uids_of(arriving.content().read(HEADER), syntax)
        if not all(map(UID.fullmatch, said)):
            return CANNOT_UNDERSTAND, "its UIDs are none"
        announced = str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID)
        if said[:2] != announced or announced[0] != event.context.abstract_syntax:
            return ANOTHER_OBJECT, "it is another than announced"
        head = b"".join([bytes(128), b"DICM", encode_file_meta(event.file_meta)])
        if self.files.write(*said[1:], head, arriving):
            why = "it has the UID of another one and other content; both are kept"
            self.complaints.say(_address(event), "an object", why, f"{_title(event)}, series {said[3]}")
        return None

    def _accepted(self, event: Any) -> None:
        """Say of an association that can do nothing why it cannot."""
        if not event.assoc.accepted_contexts:
            self.complaints.say(_address(event), "nothing can come", "no class it offers is an image", _title(event))


def _title(event: Any) -> str:
    """What a caller says its name is."""
    title = str(event.assoc.requestor.ae_title or "").strip()
    return title if title.isascii() and title.isprintable() else "?"


def _address(event: Any) -> str:
    return str(event.assoc.requestor.address)


def image_contexts() -> list[tuple[str, list[str]]]:
    """SOP classes that volumes come as, each with the encodings that can be read.

    No reports, so that ours do not come back.
    """
    from pydicom import uid

    return [(getattr(uid, name), [getattr(uid, syntax) for syntax in _SYNTAXES]) for name in _IMAGES]

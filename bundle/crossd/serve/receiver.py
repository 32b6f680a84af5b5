"""A DICOM node of our own that others send series to: into the watched folder, from known callers only."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crossd.errors import CrossDError
from crossd.files import replaced
from crossd.serve.nodes import Node, check_ae_title

_UID = re.compile(r"[0-9][0-9.]{0,63}")  # what may become a file name
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
OUT_OF_RESOURCES, CANNOT_UNDERSTAND, ANOTHER_OBJECT = 0xA700, 0xC000, 0xA900  # PS3.4, table B.2-1
TIMEOUT = 60.0

logger = logging.getLogger(__name__)


class Receiver:
    """Takes images by C-STORE and writes each to `<study>/<series>/<instance>.dcm`, whole or not at all.

    Args:
        allowed: AE titles of those who may send; others are rejected.
        folder: for the files; made when the first one comes.

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
        self._server: Any = None

    def start(self) -> None:
        """Listen, in threads of its own."""
        from pynetdicom import AE, evt
        from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

        for part in self.folder.rglob(".*.dcm.*"):  # of a process that was ended while it wrote
            part.unlink(missing_ok=True)
        entity = AE(ae_title=self.node.ae_title)
        entity.require_called_aet = True
        entity.require_calling_aet = self.allowed
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT
        entity.maximum_associations = 10
        entity.add_supported_context(Verification)
        for uid, syntaxes in image_contexts():
            entity.add_supported_context(uid, syntaxes)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_REJECTED, self._rejected)]
        try:
            self._server = entity.start_server((self.node.host, self.node.port), block=False, evt_handlers=handlers)
        except OSError as error:
            raise CrossDError(
                f"A listener needs an address of this machine and a free port: {self.node} is none "
                f"({error.strerror or error}). Choose another by --listen."
            ) from error
        logger.info("listening as %s, to %s only", self.node, ", ".join(self.allowed))
        if not (self.node.host.startswith("127.") or self.node.host in ("localhost", "::1")):
            logger.warning("%s can be reached from other machines, and DICOM is not encrypted", self.node)

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def _store(self, event: Any) -> int:
        """C-STORE: success is said when the file is on the disk under its name."""
        from pydicom import dcmread

        try:
            content = event.encoded_dataset()
            tags = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
            dataset = dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=tags)
            uids = [str(dataset.get(tag) or "") for tag in tags]
        except Exception as error:  # pydicom raises whatever the bytes lead it to
            logger.warning("refused an object from %s: %s", _caller(event), type(error).__name__)
            return CANNOT_UNDERSTAND
        if not all(_UID.fullmatch(uid) for uid in uids):
            logger.warning("refused an object from %s: its UIDs are none", _caller(event))
            return CANNOT_UNDERSTAND
        if uids[2] != str(event.request.AffectedSOPInstanceUID):
            logger.warning("refused an object from %s: it is another than announced", _caller(event))
            return ANOTHER_OBJECT
        try:
            self._write(self.folder.joinpath(*uids[:2], f"{uids[2]}.dcm"), content)
        except OSError as error:
            logger.error("refused an object from %s: %s", _caller(event), error.strerror)
            return OUT_OF_RESOURCES
        return 0

    def _write(self, path: Path, content: bytes) -> None:
        if path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content:
            return  # sent again
        with replaced(path, shared=True) as part:  # two callers may send the same
            part.write(content)

    def _rejected(self, event: Any) -> None:
        logger.warning("rejected an association from %s: not allowed, or it called another AE title", _caller(event))


def _caller(event: Any) -> str:
    """Who calls, as far as it says so."""
    requestor = event.assoc.requestor
    title = str(requestor.ae_title or "").strip()
    return f"{title if title.isascii() and title.isprintable() else '?'} at {requestor.address}"


def image_contexts() -> list[tuple[str, list[str]]]:
    """SOP classes that volumes come as, each with the encodings that can be read.

    No reports, so that ours do not come back.
    """
    from pydicom import uid

    return [(getattr(uid, name), [getattr(uid, syntax) for syntax in _SYNTAXES]) for name in _IMAGES]

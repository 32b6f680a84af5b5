"""A model's answer on a DICOM series as a DICOM document: a Structured Report by template TID 1500."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from crossd.errors import CrossDError
from crossd.version import __version__

PRIVATE_SCHEME = "99CROSSD"  # private designators begin with 99 (PS3.16, 8.2)
ALGORITHM = "crossd"
UNSTATED = "Not stated by the model's card: for research only, not for diagnosis or treatment."
# Attributes of patient and study that the standard requires in every object, empty where they are not known.
_TYPE_2 = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
)
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_PROCEDURES = {"CT": "CT", "MR": "MRI", "PT": "PET", "NM": "NM", "CR": "XR", "DX": "XR"}


def structured_report(
    images: Sequence[Any],
    probabilities: Mapping[str, float],
    predicted: Sequence[str],
    card: Mapping[str, Any],
    *,
    intended_use: str | None = None,
    warnings: Sequence[str] = (),
    scope: str | None = None,
    case: str = "case",
    frames: Mapping[str, Sequence[int]] | None = None,
    evidence: str = "",
) -> Any:
    """A Comprehensive SR with, for each class, its code as finding and its probability as measurement.

    Args:
        images: pydicom data sets of the files that were classified, with or without pixels. Of patient and study
            only what every DICOM object must state is copied from the first: name, ID, birth date and sex; UID, date,
            time, ID, accession number and referring physician.
        probabilities: of each class.
        predicted: the class or classes that the model says; these have a qualitative evaluation, too.
        card: the model's. Its `finding_codes`, `{class: [code value, coding scheme designator, code meaning]}`, say how
            classes are coded; others get a code of the private scheme 99CROSSD.
        intended_use: of the model, word for word.
        warnings: what was noted about the images.
        scope: whether the images are like those that the model was trained on; None where it cannot be told.
        case: what the run calls this case; its tracking identifier.
        frames: by SOPInstanceUID which frames of a multi-frame object were classified, counted from 1.
        evidence: what the map shows that was written beside this report, where there is one.

    Returns:
        `highdicom.sr.ComprehensiveSR`, a pydicom data set to be saved by `save_as`.

    Raises:
        CrossDError: no images, one without study, series or SOP instance UID, or codes that are none.

    Source: PS3.16, TID 1500 (report), TID 1501 (measurement group), TID 4019 (algorithm); PS3.3, A.35.3.
    """
    from highdicom import sr
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    images = _references(images)
    finding_codes = {name: _code(name, card) for name in probabilities}
    algorithm = sr.AlgorithmIdentification(
        name=ALGORITHM, version=__version__, parameters=[f"trained on: {card.get('data') or 'not stated'}"]
    )
    sources = [
        sr.SourceImageForMeasurementGroup(
            image.SOPClassUID, image.SOPInstanceUID, (frames or {}).get(image.SOPInstanceUID) or None
        )
        for image in images
    ]
    groups = []
    for name, probability in probabilities.items():
        evaluations = []
        if name in predicted:
            said = sr.CodedConcept("predicted", PRIVATE_SCHEME, "Predicted class")
            evaluations.append(sr.QualitativeEvaluation(said, finding_codes[name]))
        groups.append(
            sr.MeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(), identifier=f"{case}: {name}"),
                finding_type=finding_codes[name],
                algorithm_id=algorithm,
                measurements=[sr.Measurement(codes.DCM.Probability, round(float(probability), 6), codes.UCUM.NoUnits)],
                qualitative_evaluations=evaluations,
                source_images=sources,
            )
        )
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=["crossd", __version__, json.dumps(card, sort_keys=True, default=str)]),
        name=ALGORITHM,
        manufacturer_name="crossd contributors",
        model_name=str(card.get("data") or "model")[:64],
    )
    observer = sr.ObserverContext(codes.DCM.Device, device)
    region = f"{_PROCEDURES.get(str(images[0].get('Modality')), '')}UnspecifiedBodyRegion"
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=getattr(codes.LN, region, codes.SCT.ImagingProcedure),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    texts = [("intended_use", "Intended use of the model", intended_use or UNSTATED)]
    texts += [("evidence", "Map of evidence", evidence)] if evidence else []
    texts += [] if scope is None else [("scope", "Likeness to the training cases", scope)]
    texts += [("warning", "Warning about the images", warning) for warning in warnings]
    for value, meaning, text in texts:  # TID 1500 may be extended
        concept = sr.CodedConcept(value, PRIVATE_SCHEME, meaning)
        report[0].ContentSequence.append(sr.TextContentItem(concept, text, sr.RelationshipTypeValues.CONTAINS))
    return sr.ComprehensiveSR(
        evidence=images,
        content=report[0],
        series_instance_uid=generate_uid(),
        series_number=max(int(images[0].get("SeriesNumber") or 0), 0) % 10_000 * 100 + 1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="crossd contributors",
        manufacturer_model_name=ALGORITHM,
        software_versions=__version__,
        device_serial_number="none",
        is_complete=True,
        series_description=f"crossd {__version__}: {';'.join(predicted)}"[:64],
        specific_character_set="ISO_IR 192",
        coding_schemes=[
            CodingSchemeIdentificationItem(
                PRIVATE_SCHEME, name="crossd", responsible_organization="crossd contributors"
            )
        ],
    )


def _references(images: Sequence[Any]) -> list[Any]:
    """Data sets with nothing but what a report has to say of its images, and of the patient and the study."""
    from pydicom.dataset import Dataset

    if not images:
        raise CrossDError("A structured report refers to at least one image, got none. Pass the files of the series.")
    references = []
    for image in images:
        reference = Dataset()
        for keyword in _UIDS:
            if not image.get(keyword):
                raise CrossDError(
                    f"A structured report refers to images by their UIDs: {keyword} is missing in "
                    f"'{getattr(image, 'filename', 'an image')}'. Export the series again."
                )
            setattr(reference, keyword, image.get(keyword))
        for keyword in _TYPE_2:
            setattr(reference, keyword, image.get(keyword))
        if reference.PatientSex not in ("M", "F", "O"):
            reference.PatientSex = None
        reference.Modality, reference.SeriesNumber = image.get("Modality"), image.get("SeriesNumber")
        references.append(reference)
    return references


def _code(name: str, card: Mapping[str, Any]) -> Any:
    """How a class is coded."""
    from highdicom.sr import CodedConcept

    given = (card.get("finding_codes") or {}).get(name)
    if given is None:
        plain = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_-") else "_" for letter in name)
        if len(plain) > 16 or plain != name:  # code values are short, and two must not become one
            plain = f"{plain[:7]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        given = [plain, PRIVATE_SCHEME, name[:64]]
    try:
        value, scheme, meaning = map(str, given)
        return CodedConcept(value, scheme, meaning)
    except (TypeError, ValueError) as error:
        raise CrossDError(
            f"`finding_codes` of a card must be [code value, coding scheme, meaning] per class; {name!r} has {given!r} "
            f"({error}). Example: ['85659009', 'SCT', 'Aneurysm']."
        ) from error

"""Law: what the model said of a series stands in a DICOM document that any reader understands, and nothing else."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess

import numpy as np
import pydicom
import pytest
import torch
from crossd.cards.from_data import model_card
from crossd.checkpoints import read_card, save_checkpoint
from crossd.data import write_dicom_series
from crossd.data.nifti import write_nifti
from crossd.errors import CrossDError
from crossd.inference import StructuredReports, network_from_card, structured_reports

pytest.importorskip("highdicom", reason='highdicom is not installed: pip install "crossd[dicom]"')
from crossd.inference.sr_document import UNSTATED, structured_report

from ..configs import card_input, run

CLASSES, NETWORK = ["healthy", "aneurysm of an artery"], {"depth": 10, "width": 4}
CARD = model_card("multiclass", CLASSES, NETWORK, card_input(32), 0, "made up", intended_use="Tests, and nothing else")
CARD["finding_codes"] = {"healthy": ["17621005", "SCT", "Normal"]}
ANSWER = {"healthy": 0.25, "aneurysm of an artery": 0.75}
SECRETS = {"PatientAge": "042Y", "PatientComments": "secret", "OtherPatientIDs": "secret", "PatientAddress": "secret"}


@pytest.fixture
def series(tmp_path):
    """Slices of a patient of whom more is known than a report has to say."""
    volume = np.random.default_rng(0).integers(0, 100, (12, 10, 8)).astype(np.int16)
    tags = {"StudyID": "7", "StudyDate": "20260102", "StudyTime": "101112", "SeriesNumber": 4, "PatientSex": "F"}
    files = write_dicom_series(
        tmp_path / "scans" / "ct", volume, np.diag([-1.0, -1, 2, 1]), modality="CT", patient_id="p1", **tags, **SECRETS
    )
    return [pydicom.dcmread(file) for file in files]


def items(node, value_type):
    """All content items of a type below a node, in order, as (name, item)."""
    for child in node.get("ContentSequence", []):
        if child.ValueType == value_type:
            yield child.ConceptNameCodeSequence[0].CodeMeaning, child
        yield from items(child, value_type)


def read_back(report, tmp_path):
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    return pydicom.dcmread(tmp_path / "report.dcm")


def test_findings_probabilities_and_references(series, tmp_path):
    report = structured_report(
        series,
        ANSWER,
        ["aneurysm of an artery"],
        CARD,
        intended_use="Tests only",
        warnings=["tilted"],
        scope="outside: 100 %",
        case="c1",
        evidence="gradient",
    )
    read = read_back(report, tmp_path)
    assert read.SOPClassUID.name == "Comprehensive SR Storage"
    assert read.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert (read.CompletionFlag, read.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    findings = [item.ConceptCodeSequence[0] for name, item in items(read, "CODE") if name == "Finding"]
    assert [(code.CodingSchemeDesignator, code.CodeMeaning) for code in findings] == [
        ("SCT", "Normal"),
        ("99CROSSD", "aneurysm of an artery"),
    ]
    assert findings[0].CodeValue == "17621005"
    assert len(findings[1].CodeValue) <= 16
    numbers = [item.MeasuredValueSequence[0] for name, item in items(read, "NUM") if name == "Probability"]
    assert [float(number.NumericValue) for number in numbers] == [0.25, 0.75]
    assert numbers[0].MeasurementUnitsCodeSequence[0].CodeValue == "1"  # UCUM: no units
    predicted = [item.ConceptCodeSequence[0].CodeMeaning for name, item in items(read, "CODE") if "Predicted" in name]
    assert predicted == ["aneurysm of an artery"]
    texts = [(name, item.TextValue) for name, item in items(read, "TEXT")]
    from crossd.version import __version__

    for expected in (
        ("Algorithm Name", "crossd"),
        ("Algorithm Version", __version__),
        ("Intended use of the model", "Tests only"),
        ("Warning about the images", "tilted"),
        ("Map of evidence", "gradient"),
        ("Likeness to the training cases", "outside: 100 %"),
        ("Tracking Identifier", "c1: healthy"),
    ):
        assert expected in texts
    uids = {image.SOPInstanceUID for image in series}
    shown = [item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for _, item in items(read, "IMAGE")]
    assert set(shown) == uids
    assert len(shown) == 2 * 8  # of each finding
    evidence = read.CurrentRequestedProcedureEvidenceSequence[0]
    (listed,) = evidence.ReferencedSeriesSequence
    assert (evidence.StudyInstanceUID, listed.SeriesInstanceUID) == (read.StudyInstanceUID, series[0].SeriesInstanceUID)
    assert {item.ReferencedSOPInstanceUID for item in listed.ReferencedSOPSequence} == uids
    assert (read.PatientID, read.PatientSex, read.StudyDate) == ("p1", "F", "20260102")
    assert read.SeriesInstanceUID != series[0].SeriesInstanceUID


def test_of_the_patient_only_what_the_standard_requires(series, tmp_path):
    read = read_back(structured_report(series, ANSWER, ["healthy"], CARD), tmp_path)
    assert [keyword for keyword in SECRETS if keyword in read] == []
    assert "secret" not in read.to_json()
    assert not [element for element in read.iterall() if element.tag.is_private]
    assert ("Intended use of the model", UNSTATED) in [(name, item.TextValue) for name, item in items(read, "TEXT")]


def test_empty_headers_are_enough(series, tmp_path):
    for keyword in ("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber"):
        del series[0][keyword]
    series[1].PatientSex = "X"
    assert read_back(structured_report(series, ANSWER, ["healthy"], CARD), tmp_path).PatientSex == ""


def errors_of(file):
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    done = subprocess.run([program, str(file)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    assert "ComprehensiveSR" in said
    return [line for line in said if line.startswith("Error")]


def test_dciodvfy_finds_no_error(series, tmp_path):
    report = structured_report(series, ANSWER, ["healthy"], CARD, warnings=["ä" * 2000])
    read_back(report, tmp_path)
    assert errors_of(tmp_path / "report.dcm") == []
    del report.ContentSequence[0].ConceptNameCodeSequence
    report.save_as(tmp_path / "wrong.dcm")
    assert errors_of(tmp_path / "wrong.dcm") != []


def test_refusals(series):
    with pytest.raises(CrossDError, match=r"refers to at least one image, got none. Pass the files"):
        structured_report([], ANSWER, ["healthy"], CARD)
    wrong = {**CARD, "finding_codes": {"healthy": ["17621005"]}}
    with pytest.raises(
        CrossDError, match=r"`finding_codes` of a card must be .*'healthy' has \['17621005'\] .*Example"
    ):
        structured_report(series, ANSWER, ["healthy"], wrong)
    del series[2].SOPInstanceUID
    with pytest.raises(CrossDError, match=r"by their UIDs: SOPInstanceUID is missing in '.*000002.dcm'. Export"):
        structured_report(series, ANSWER, ["healthy"], CARD)


def test_without_highdicom(tmp_path, monkeypatch):
    monkeypatch.setattr(structured_reports, "find_spec", lambda name: None)
    with pytest.raises(CrossDError, match=r'not installed. `pip install "crossd\[dicom\]"`, or leave out --dicom_sr'):
        StructuredReports(tmp_path, CARD)


def infer(tmp_path, images, **options):
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "model.pt", network_from_card(CARD), card=CARD)
    options |= {"output_dir": tmp_path / "out", "weights": tmp_path / "model.pt", "backend": "eager"}
    run("inference", images=images, **options)
    return sorted(file.name for file in (tmp_path / "out").glob("structured_reports/*"))


def test_a_resumed_run_writes_what_is_gone(series, tmp_path):
    """The checkpoint is written anew with equal bytes, so the settings are equal."""
    infer(tmp_path, tmp_path / "scans", dicom_sr=True)
    written = tmp_path / "out" / "structured_reports" / "ct-4.dcm"
    (case,) = json.loads((tmp_path / "out" / "predictions.json").read_text())["cases"]
    assert case["structured_report"] == "structured_reports/ct-4.dcm"
    before = written.stat().st_mtime_ns
    infer(tmp_path, tmp_path / "scans", dicom_sr=True, resume=True)
    assert written.stat().st_mtime_ns == before
    written.unlink()
    assert infer(tmp_path, tmp_path / "scans", dicom_sr=True, resume=True) == ["ct-4.dcm"]


def test_the_bundle_writes_one_per_series(series, tmp_path, caplog):
    write_nifti(tmp_path / "scans" / "other.nii.gz", np.random.default_rng(1).random((12, 10, 8), dtype=np.float32))
    with caplog.at_level(logging.INFO):
        names = infer(tmp_path, tmp_path / "scans", dicom_sr=True)
    assert names == ["ct-4.dcm"]
    assert "1 structured reports are in" in caplog.text
    assert caplog.text.count("1 cases are not DICOM and have none") == 1
    read = pydicom.dcmread(tmp_path / "out" / "structured_reports" / "ct-4.dcm")
    assert "Tests, and nothing else" in read.to_json()
    assert len(read.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence) == 8
    assert errors_of(tmp_path / "out" / "structured_reports" / "ct-4.dcm") == []


def test_a_folder_that_a_csv_names_and_none_without_being_asked(series, tmp_path):
    assert infer(tmp_path, tmp_path / "scans", report=False) == []
    assert not (tmp_path / "out" / "structured_reports").exists()
    (tmp_path / "cases.csv").write_text("case,image\nfirst,scans/ct\n")
    assert infer(tmp_path, tmp_path / "cases.csv", dicom_sr=True) == ["first.dcm"]


def test_no_name_of_a_patient_is_printed(series, tmp_path, recwarn, caplog, capfd):
    for file in (tmp_path / "scans" / "ct").iterdir():
        image = pydicom.dcmread(file)
        image.PatientName = "Hildegardsdottir"  # without a caret: highdicom warns of it in words that hold it
        image.save_as(file)
    assert infer(tmp_path, tmp_path / "scans", dicom_sr=True) == ["ct-4.dcm"]
    said = [*(str(warning.message) for warning in recwarn), caplog.text, *capfd.readouterr()]
    assert "Hildegardsdottir" not in " ".join(said)
    assert "Hildegardsdottir" in str(pydicom.dcmread(tmp_path / "out" / "structured_reports" / "ct-4.dcm").PatientName)


def test_a_report_that_cannot_be_written_is_a_warning(series, tmp_path, monkeypatch):
    def full(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(structured_reports, "structured_report", full)
    assert infer(tmp_path, tmp_path / "scans", dicom_sr=True) == []
    table = (tmp_path / "out" / "predictions.csv").read_text()
    assert ",ok,the structured report was not written: OSError: No space left on device" in table


def test_names_in_other_alphabets(series, tmp_path):
    for image in series:
        image.SpecificCharacterSet = "ISO_IR 100"
        image.PatientName = "Müller^Jörg"
    read_back(series[0], tmp_path).save_as(tmp_path / "latin1.dcm")
    read = read_back(structured_report([pydicom.dcmread(tmp_path / "latin1.dcm")], ANSWER, ["healthy"], CARD), tmp_path)
    assert (read.SpecificCharacterSet, str(read.PatientName)) == ("ISO_IR 192", "Müller^Jörg")
    assert errors_of(tmp_path / "report.dcm") == []


def test_the_bundles_own_model_has_the_intended_use_of_its_metadata(root, tmp_path):
    metadata = root / "configs" / "metadata.json"
    card = read_card(root / "models" / "model.pt")
    said = json.loads(metadata.read_text(encoding="utf-8"))["intended_use"]
    assert StructuredReports(tmp_path, card, metadata).intended_use == said
    assert StructuredReports(tmp_path, {**card, "intended_use": "mine"}, metadata).intended_use == "mine"
    assert StructuredReports(tmp_path, {**card, "data": "another"}, metadata).intended_use is None

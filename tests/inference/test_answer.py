"""An answer is stored and read again as it was, and as earlier versions of this package stored it."""

from __future__ import annotations

import json

import pytest
from crossd.inference import Answer, Case

FAILED = {
    **{"case": "cut", "source": "/data/cut.nii", "probabilities": None, "predicted_class": None, "status": "failed"},
    **{"reason": "EOFError: ended", "warnings": ["no affine"], "windows": None, "evidence": None},
    **{"evidence_class": None, "saliency": None},
}
OLD = [  # as version 0.1.0 wrote them
    FAILED,
    {**FAILED, "status": "skipped", "warnings": []},
    {
        **{"case": "a", "source": "/data/a.nii", "probabilities": {"no": 0.25, "yes": 0.75}, "predicted_class": "yes"},
        **{"status": "ok", "reason": None, "warnings": [], "windows": 2, "evidence": "evidence/a.nii.gz"},
        **{"evidence_class": "yes", "saliency": None, "structured_report": "structured_reports/a.dcm"},
    },
]


@pytest.mark.parametrize("entry", OLD, ids=lambda entry: entry["status"])
def test_there_and_back(entry: dict) -> None:
    answer = Answer.from_dict(json.loads(json.dumps(entry)))
    assert answer.as_dict() == entry
    assert Answer.from_dict(answer.as_dict()) == answer


def test_files_and_details_are_told_apart() -> None:
    answer = Answer.from_dict(OLD[2])
    assert answer.files == {
        **{"evidence": "evidence/a.nii.gz", "saliency": None, "structured_report": "structured_reports/a.dcm"}
    }
    assert set(answer.details) == {"probabilities", "predicted_class", "windows", "evidence_class"}
    assert answer.noting("tilted").warnings == ("tilted",)
    assert answer.warnings == ()


@pytest.mark.parametrize("skipped", [False, True])
def test_a_case_without_an_answer(skipped: bool) -> None:
    case = Case(0, "a", "a", "", "/a.nii", {"skipped": True} if skipped else {}, warnings=("odd",), error="cut")
    answer = Answer.without(case, case.error, {"mask": None}, {"voxels": None})
    assert answer == Answer(
        "a", "/a.nii", "skipped" if skipped else "failed", "cut", ("odd",), {"mask": None}, {"voxels": None}
    )


def test_what_is_no_answer() -> None:
    with pytest.raises(KeyError, match="source"):
        Answer.from_dict({"case": "a"})

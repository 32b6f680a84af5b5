"""The closing sentences: what they say follows from the intervals alone."""

from __future__ import annotations

import dataclasses

import pytest
from crossd.evaluation.figure import Figure
from crossd.probe.verdict import Finding, signal, verdict

GOOD, CHANCE = Figure(0.9, 0.84, 0.95), Figure(0.55, 0.45, 0.66)
BASE = Finding(GOOD, "shape", Figure(0.8, 0.7, 0.88), Figure(0.1, 0.02, 0.18), 120, "ill", 60, "the test cases")


@pytest.mark.parametrize(
    ("changes", "word", "said"),
    [
        (
            {},
            "ahead",
            "There is a signal: AUC 0.90 (95 % 0.84 to 0.95) on the test cases of 120 patients. It is ahead of",
        ),
        ({"ahead": Figure(0.1, -0.02, 0.2)}, "level", "It is not told from the best trivial baseline (shape, AUC 0.80"),
        ({"ahead": Figure(-0.1, -0.2, -0.02)}, "trivial", "The trivial baseline wins: AUC 0.80 (95 % 0.70 to 0.88) by"),
        ({"auc": CHANCE, "trivial_auc": CHANCE}, "none", "No signal was found: AUC 0.55 (95 % 0.45 to 0.66) on"),
        ({"auc": CHANCE}, "trivial", "The trivial baseline wins"),
        ({"auc": Figure(0.9, None, None)}, "trivial", "Nobody can say how sure that is: there are too few patients"),
        ({"auc": Figure(0.8, 0.55, 0.95)}, "ahead", "That is not sure: the interval is 0.40 wide."),
        ({"fewest": 12}, "ahead", "Next: label more cases ('ill' has 12 patients), then run the probe again"),
    ],
)
def test_what_is_said(changes, word, said):
    finding = dataclasses.replace(BASE, **changes)
    assert signal(finding) == word
    assert said in verdict(finding)
    assert " Next: " in verdict(finding)

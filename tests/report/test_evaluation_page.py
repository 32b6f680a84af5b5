"""The page of an evaluation: what it says first, whose pictures it shows, and what it leaves to the authors."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch
from crossd.report import EvaluationPage
from crossd.report.checklist import AUTHORS, checklist
from crossd.training import model_card
from monai.data import MetaTensor

from ..configs import card_input, csv_rows

CARD = {
    **model_card("multiclass", ["well", "<ill>"], {"depth": 10, "width": 4}, card_input(8), 0),
    "operating_point": {"rule": "youden", "thresholds": {"<ill>": 0.45}, "cases": 20},
}


class Volumes:
    """24 cases, of which one cannot be read again."""

    def __init__(self):
        self.data = [
            {"case": f"case{row:02}", "patient": f"p{row // 2}", "columns": {"sex": "FM"[row // 2 % 2]}}
            for row in range(24)
        ]

    def __getitem__(self, row):
        if row == 1:
            raise RuntimeError("cut")
        return {"image": MetaTensor(torch.rand(1, 8, 9, 10))}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    torch.manual_seed(0)
    targets = torch.eye(2)[torch.arange(24) % 2]
    chances = (2 * torch.randn(24, 2) + 2 * targets).softmax(1)
    dataset = Volumes()
    about = {"splits": ["test"], "weights": str(folder / "model.pt"), "skipped": 0}
    report = EvaluationPage(
        str(folder),
        ["well", "<ill>"],
        "multiclass",
        dataset=dataset,
        about=about,
        samples=100,
        card=CARD,
        by=["sex"],
        prevalence=0.1,
    )
    output = [{"pred": said, "label": true} for said, true in zip(chances, targets, strict=True)]
    report._collect(SimpleNamespace(state=SimpleNamespace(batch=dataset.data, output=output)))
    report._write(None)
    return folder


def test_the_verdict_is_first_and_there_is_no_script(page):
    text = (page / "evaluation.html").read_text(encoding="utf-8")
    (first,) = re.findall("<h1>(.*?)</h1>", text)
    assert re.match(
        r"AUROC 0\.\d\d \(95 % .*\) on 24 test cases of 12 patients\. \d+ % of the answers are right", first
    )
    assert "always giving the commonest one would be right in 50 %" in first
    assert "&lt;ill&gt; from 0.450 on" in text
    assert "<ill>" not in text
    assert "<script" not in text
    assert "PPV at a prevalence of 0.1" in text


def test_worst_errors_and_most_certain_hits_are_shown(page):
    text = (page / "evaluation.html").read_text(encoding="utf-8")
    rows = csv_rows(page / "predictions.csv")
    wrong = [row for row in rows if row["label"] != row["predicted"]]
    worst = max(wrong, key=lambda row: 1 - float(row[f"probability_{row['label']}"]))
    shown = re.findall(r"<figcaption>(case\d+): is (\S+), said (\S+) \(", text)
    assert shown[0][0] == worst["case"]
    assert sum(true != said for _, true, said in shown) == min(len(wrong), 10)
    assert "case01" not in {case for case, *_ in shown}  # it cannot be read: the page is there all the same


def test_groups_are_told(page):
    rows = csv_rows(page / "subgroups.csv")
    assert [(row["group"], row["cases"]) for row in rows] == [("F", "12"), ("M", "12")]
    assert rows[0]["few"] == "well (6); <ill> (6)"
    assert "few: well (6), &lt;ill&gt; (6); says little" in (page / "evaluation.html").read_text(encoding="utf-8")


def test_the_draft_says_what_the_run_knows_and_leaves_the_rest_to_the_authors():
    report = {
        "cases": 5,
        "patients": 4,
        "interval": "bootstrap",
        "metrics": {"auc": {}},
        "splits": ["test"],
        "skipped": 2,
    }
    known = checklist(
        CARD, report, {"weights": None, "epochs": 3, "split_seed": 7}, {"well": {"train": "9", "val": "2"}}
    )
    model = known["Model and training"]
    assert (model["Initial weights"], model["Training"]) == ("random", "epochs 3.")
    assert model["Threshold"] == "<ill> from 0.450 on, by youden on 20 held-out cases."
    assert model["Calibration"] == known["Data"]["De-identification"] == AUTHORS
    assert known["Partitions"]["Sample size and its reason"].startswith("well: 9 train, 2 val. The reason: to be said")
    assert known["Data"]["Inclusion and exclusion"].startswith("2 of the cases to be evaluated could not be read")

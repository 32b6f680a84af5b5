"""A draft of what CLAIM 2024 and TRIPOD+AI ask of an article on a model: what the run knows is filled in.

Source: Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 update", Radiology: AI
2024; Collins et al., "TRIPOD+AI statement", BMJ 2024. Subjects are named in words of our own; numbers are in the lists.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossd.cards.operating_point import OperatingPoint
from crossd.cards.tasks import task_of
from crossd.errors import counted
from crossd.evaluation.tables import TITLES
from crossd.report.model_facts import model_facts
from crossd.training.epoch_score import score_of
from crossd.version import __version__

AUTHORS = "To be said by the authors."
TRAINED_BY = ("epochs", "batch_size", "learning_rate", "weight_decay", "class_weights", "label_smoothing", "seed")


def checklist(
    card: Mapping[str, Any],
    report: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    counts: Mapping[str, Mapping[str, str]] | None = None,
) -> dict[str, dict[str, str]]:
    """By section and subject what the run knows of it.

    Args:
        card: of the model.
        report: of its evaluation.
        settings: of its training, where they are known.
        counts: cases by class and split, where they are known.

    >>> card = {"class_names": ["a", "b"], "network": {"depth": 10}, "input": {"channels": ["t1"]}}
    >>> report = {"cases": 8, "patients": 7, "metrics": {}, "interval": "95 % bootstrap", "splits": ["test"]}
    >>> checklist(card, report)["Evaluation"]["Internal test"]
    '8 cases of 7 patients, split test.'
    """
    facts, chosen = model_facts(card), settings or {}
    calibration, point = card.get("calibration"), card.get("operating_point")
    spread = "; ".join(
        f"{name}: {', '.join(f'{count} {split}' for split, count in of_class.items())}"
        for name, of_class in (counts or {}).items()
    )
    where = " and ".join(report.get("splits", []))
    classifies = task_of(card.get("task")).classifies
    of_classes = () if classifies else ("class_weights", "label_smoothing")
    trained = ", ".join(f"{name} {chosen[name]}" for name in TRAINED_BY if name in chosen and name not in of_classes)
    epoch = (card.get("metrics") or {}).get("epoch")
    by = "class" if classifies else "fifths of the number"
    best = "AUC" if score_of(card.get("task")) == "val_auc" else "MAE"
    imbalance = f"class_weights {chosen['class_weights']}." if "class_weights" in chosen and classifies else ""
    said_of = {"calibration": "", "point": ""}
    if calibration:
        fitted = f"fitted on {calibration['cases']} held-out cases"
        how = f"One temperature, {calibration['temperature']:.2f}" if "temperature" in calibration else "Isotonic"
        said_of["calibration"] = f"{how}, {fitted}."
    if point:
        said = OperatingPoint.of(card)
        by_rule = f", by {point['rule']} on {point['cases']} held-out cases" if said.limits and said.thresholds else ""
        said_of["point"] = f"{said.words}{by_rule}."
    known = {
        "Title and introduction": {
            "Kind of study, technology": f"{_kind(card)}, which says {facts['Says']}.",
            "Background, intended use, role in care": "",
            "Aims and hypotheses": "",
        },
        "Data": {
            "Sources, dates, setting, centres": _sentence(facts.get("Trained on")),
            "Prospective or retrospective": "",
            "Inclusion and exclusion": _skipped(report),
            "Preprocessing": _sentence(facts["Input"]),
            "De-identification": "",
            "Missing data": "",
            "Acquisition protocol": "",
            "Reference standard, who annotated, agreement": "",
        },
        "Partitions": {
            "How cases were assigned": f"By patient, stratified by {by}, split_seed {chosen['split_seed']}."
            if "split_seed" in chosen
            else "",
            "Level at which parts are disjoint": "The patient, by the column of that name; the program checks it.",
            "Sample size and its reason": f"{spread}. The reason: {AUTHORS[0].lower()}{AUTHORS[1:]}" if spread else "",
            "Characteristics of cases": "",
        },
        "Model and training": {
            "Architecture": ", ".join(f"{name} {value}" for name, value in card["network"].items()),
            "Software": f"crossd {card.get('crossd_version', __version__)}, on MONAI and PyTorch.",
            "Initial weights": f"{chosen['weights'] or 'random'}" if "weights" in chosen else "",
            "Training": _sentence(trained),
            "Choice of the final model": f"The epoch with the best validation {best}: {epoch}." if epoch else "",
            "Calibration": said_of["calibration"],
            "Threshold": said_of["point"],
            "Class imbalance": imbalance,
        },
        "Evaluation": {
            "Metrics": f"{', '.join(title for name, title in TITLES.items() if name in report['metrics'])}.",
            "Uncertainty": str(report["interval"]),
            "Internal test": f"{counted(report['cases'], 'case')} of {counted(report['patients'], 'patient')}"
            + (f", split {where}." if where else "."),
            "External test": "",
            "Subgroups and fairness": f"By {', '.join(report['subgroups'])}, above." if "subgroups" in report else "",
            "Failure analysis": "The worst errors are above; their reasons are to be said by the authors.",
            "Explanations": "Maps of evidence, as crossd predict writes them.",
        },
        "Discussion and open science": {
            "Limitations, implications, next steps": "",
            "Registration, protocol, ethics, funding": "",
            "Availability of code, model and data": "",
        },
    }
    return {section: {item: said or AUTHORS for item, said in items.items()} for section, items in known.items()}


def _kind(card: Mapping[str, Any]) -> str:
    classifies = task_of(card.get("task")).classifies
    return "A deep-learning classifier of volumes" if classifies else "A deep-learning regression on volumes"


def _sentence(text: str | None) -> str:
    return f"{text}." if text else ""


def _skipped(report: Mapping[str, Any]) -> str:
    skipped = report.get("skipped")
    return f"{skipped} of the cases to be evaluated could not be read and were left out. {AUTHORS}" if skipped else ""

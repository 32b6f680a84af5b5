"""How good a classifier is: metrics with intervals, plots, and what chooses the best epoch in validation."""

from crossd.evaluation.bootstrap import bootstrap_intervals
from crossd.evaluation.evaluating import Predictions, evaluate
from crossd.evaluation.handler import EvaluationReport
from crossd.evaluation.metrics import classification_metrics, majority_rate
from crossd.evaluation.of_engine import engine_metrics
from crossd.evaluation.validation import NegativeLogLikelihood, PresentClassAUC

__all__ = [
    "EvaluationReport",
    "NegativeLogLikelihood",
    "Predictions",
    "PresentClassAUC",
    "bootstrap_intervals",
    "classification_metrics",
    "engine_metrics",
    "evaluate",
    "majority_rate",
]

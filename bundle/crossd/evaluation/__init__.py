"""How good a classifier is: metrics with intervals, plots, and what chooses the best epoch in validation."""

from crossd.evaluation.evaluating import EvaluationReport, evaluate
from crossd.evaluation.metrics import Predictions, bootstrap_intervals, classification_metrics, majority_rate
from crossd.evaluation.validation import NegativeLogLikelihood, PresentClassAUC, engine_metrics

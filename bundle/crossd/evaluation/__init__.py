"""How good a classifier is: metrics with intervals, plots, and what chooses the best epoch in validation."""

from crossd.evaluation.bootstrap import bootstrap_intervals
from crossd.evaluation.evaluating import EvaluationReport, evaluate
from crossd.evaluation.metrics import classification_metrics, majority_rate
from crossd.evaluation.predictions import Predictions
from crossd.evaluation.validation import NegativeLogLikelihood, PresentClassAUC, engine_metrics

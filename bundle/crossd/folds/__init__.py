"""Cross-validation of a training: each fold a run of its own, what they said of unseen cases, and one model of all."""

from crossd.folds.joining import join_models
from crossd.folds.pooling import judged
from crossd.folds.running import in_folds

__all__ = ["in_folds", "join_models", "judged"]

"""Fine-tuning: what is trained, from which weights, on which cases, and how a run survives being killed."""

from crossd.training.cards import base_card, channel_names, model_card, trained_card
from crossd.training.loss import classification_loss
from crossd.training.pretrained import PretrainedCheckpointLoader, TrainedCheckpointLoader
from crossd.training.progress import TrainingProgress
from crossd.training.randomness import SeededDataset, SeedEpochs
from crossd.training.readable import cache_rate, readable_cases
from crossd.training.trainable import set_trainable

__all__ = [
    "PretrainedCheckpointLoader",
    "SeedEpochs",
    "SeededDataset",
    "TrainedCheckpointLoader",
    "TrainingProgress",
    "base_card",
    "cache_rate",
    "channel_names",
    "classification_loss",
    "model_card",
    "readable_cases",
    "set_trainable",
    "trained_card",
]

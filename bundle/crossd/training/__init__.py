"""Fine-tuning: what is trained, from which weights, on which cases, and how a run survives being killed."""

from crossd.cards.from_data import channel_names, model_card
from crossd.cards.from_weights import base_card, trained_card
from crossd.training.augmenting import augmentation
from crossd.training.averaging import WeightAverage, averaged_copy
from crossd.training.batches import PrepareImages, batch_items
from crossd.training.card_writer import CardWriter
from crossd.training.curves import Curves
from crossd.training.distributed import distributed_network, training_sampler, validation_sampler
from crossd.training.epoch_score import better_of
from crossd.training.head_first import HeadFirst
from crossd.training.image_metrics import EpochTable, LossBar, image_metrics
from crossd.training.images import image_card, write_image_lists
from crossd.training.loss import classification_loss
from crossd.training.parameter_groups import parameter_groups
from crossd.training.pretrained import PretrainedCheckpointLoader, TrainedCheckpointLoader
from crossd.training.progress import TrainingProgress, check_resume
from crossd.training.randomness import SeededDataset, SeedEpochs
from crossd.training.readable import readable_cases
from crossd.training.schedule import epoch_schedule
from crossd.training.trainable import set_trainable
from crossd.training.values import loss_of

"""Self-supervision: one objective a file, the views it compares, and the run that trains by it."""

from crossd.cards.from_data import ssl_card
from crossd.ssl.crop_views import GlobalAndSubCropsd
from crossd.ssl.encoders import EncoderCheckpointLoader, build_encoder
from crossd.ssl.heads import MiddleHead, PCRLHeads, SimilarityHead
from crossd.ssl.image_views import ImageViewsd
from crossd.ssl.images_network import ImagesEncoder, ImagesNetwork, VICReg
from crossd.ssl.joint import JointBatches, JointDataset
from crossd.ssl.pcrl import PCRLObjective, ViewOutput, annealing, similarity
from crossd.ssl.pcrl_network import PCRLIteration, PCRLNetwork
from crossd.ssl.progress import PretrainingProgress, RestoredPlanes, TermTable, state_with_statistics
from crossd.ssl.sides import (
    Side,
    image_side,
    image_sizes,
    present,
    volume_side,
    volume_sizes,
    window_options,
    write_cases,
)
from crossd.ssl.unlabelled_images import image_preprocessing, unlabelled_images
from crossd.ssl.unlabelled_volumes import unlabelled_volumes, volume_preprocessing

"""Segmentation: networks and their cards, masks in the input's own space, and how good they are."""

from crossd.cards.from_weights import segmentation_base
from crossd.inference.input_space import mask_in_input_space
from crossd.segmentation.case_scores import SegmentationReport, case_metrics, summarise
from crossd.segmentation.mask_answers import Segmentation, segment_cases
from crossd.segmentation.networks import SegmentationWeightsLoader, network_arguments, segmentation_network
from crossd.training.augmenting import mask_augmentation

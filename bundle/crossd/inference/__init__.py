"""Inference on volumes: windows, their aggregate and map, and the run over cases of which some may be unreadable."""

from crossd.cards.background import background, mean_background
from crossd.inference.aggregation import Aggregation
from crossd.inference.answer import Answer
from crossd.inference.attribution import VoxelEvidence
from crossd.inference.backends import BACKENDS, Accelerated, accelerate
from crossd.inference.case_dataset import Case, CaseDataset, collate_cases
from crossd.inference.case_loader import CaseLoader
from crossd.inference.classification import Classification
from crossd.inference.input_space import map_in_input_space, save_map, to_input_space
from crossd.inference.iteration import classify_cases, run_cases
from crossd.inference.model import LoadWeights, network_from_card
from crossd.inference.regression import Regression
from crossd.inference.run_journal import RunJournal
from crossd.inference.saliency import WindowGradCAM
from crossd.inference.structured_reports import StructuredReports
from crossd.inference.window_inferer import WindowInferer, inferer_from_card
from crossd.inference.window_map import WindowEvidence, WindowMap

"""Inference on volumes: windows, their aggregate and map, and the run over cases of which some may be unreadable."""

from crossd.inference.aggregate import Aggregation
from crossd.inference.backends import BACKENDS, Accelerated, accelerate
from crossd.inference.case_loader import CaseLoader
from crossd.inference.cases import CaseDataset, collate_cases
from crossd.inference.evidence import WindowEvidence, evidence_map
from crossd.inference.iteration import classify_cases, run_cases
from crossd.inference.journal import Journal
from crossd.inference.model import LoadWeights, background, network_from_card
from crossd.inference.pending import PendingCases
from crossd.inference.predictions import PredictionWriter
from crossd.inference.restore import map_in_input_space, save_map, to_input_space
from crossd.inference.saliency import SaliencyMaps, WindowGradCAM
from crossd.inference.sr_writer import StructuredReports
from crossd.inference.window_map import WindowMap
from crossd.inference.windows import WindowInferer

__all__ = [
    "BACKENDS",
    "Accelerated",
    "Aggregation",
    "CaseDataset",
    "CaseLoader",
    "Journal",
    "LoadWeights",
    "PendingCases",
    "PredictionWriter",
    "SaliencyMaps",
    "StructuredReports",
    "WindowEvidence",
    "WindowGradCAM",
    "WindowInferer",
    "WindowMap",
    "accelerate",
    "background",
    "classify_cases",
    "collate_cases",
    "evidence_map",
    "map_in_input_space",
    "network_from_card",
    "run_cases",
    "save_map",
    "to_input_space",
]

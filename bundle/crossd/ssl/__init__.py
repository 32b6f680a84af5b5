"""Self-supervision: one objective a file, and the views it compares."""

from crossd.ssl.heads import MiddleHead, PCRLHeads, SimilarityHead
from crossd.ssl.pcrl import PCRLObjective, ViewOutput, annealing, similarity
from crossd.ssl.views import GlobalAndSubCropsd, intensity_changes, spatial_changes

__all__ = [
    "GlobalAndSubCropsd",
    "MiddleHead",
    "PCRLHeads",
    "PCRLObjective",
    "SimilarityHead",
    "ViewOutput",
    "annealing",
    "intensity_changes",
    "similarity",
    "spatial_changes",
]

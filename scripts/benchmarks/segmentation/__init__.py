"""Segmentation, measured: networks and weights under one recipe on hippocampus, paired, tables from stored runs."""

from crossd.benchmark.segmentation.methods import METHODS, Method, build_network
from crossd.benchmark.segmentation.recipe import RECIPES, MaskRecipe
from crossd.benchmark.segmentation.run import MaskInputs, perform_masks
from crossd.benchmark.segmentation.store import MaskResults, TestedMasks

__all__ = [
    "METHODS",
    "RECIPES",
    "MaskInputs",
    "MaskRecipe",
    "MaskResults",
    "Method",
    "TestedMasks",
    "build_network",
    "perform_masks",
]

"""Segmentation, measured: networks and weights under one recipe on hippocampus, paired, tables from stored runs."""

from scripts.benchmarks.segmentation.methods import METHODS, Method, build_network
from scripts.benchmarks.segmentation.recipe import RECIPES, Recipe
from scripts.benchmarks.segmentation.run import Inputs, perform
from scripts.benchmarks.segmentation.store import Results, Tested

__all__ = [
    "METHODS",
    "RECIPES",
    "Inputs",
    "Method",
    "Recipe",
    "Results",
    "Tested",
    "build_network",
    "perform",
]

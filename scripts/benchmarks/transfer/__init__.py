"""2D to 3D transfer, measured: methods, data sets and protocols under one recipe, paired, tables from stored runs."""

from scripts.benchmarks.transfer.building import build_network
from scripts.benchmarks.transfer.methods import METHODS, Method
from scripts.benchmarks.transfer.recipe import RECIPES, Recipe
from scripts.benchmarks.transfer.run import Inputs, perform
from scripts.benchmarks.transfer.statistics import paired_difference
from scripts.benchmarks.transfer.store import Recommendation, Results, recommend

__all__ = [
    "METHODS",
    "RECIPES",
    "Inputs",
    "Method",
    "Recipe",
    "Recommendation",
    "Results",
    "build_network",
    "paired_difference",
    "perform",
    "recommend",
]

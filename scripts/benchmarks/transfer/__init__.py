"""2D to 3D transfer, measured: methods, data sets and protocols under one recipe, paired, tables from stored runs."""

from crossd.benchmark.transfer.building import build_network
from crossd.benchmark.transfer.grid import Block, Cell, blocks
from crossd.benchmark.transfer.methods import METHODS, Method
from crossd.benchmark.transfer.recipe import RECIPES, Recipe
from crossd.benchmark.transfer.run import Inputs, perform
from crossd.benchmark.transfer.schedule import execute
from crossd.benchmark.transfer.statistics import holm, paired_difference
from crossd.benchmark.transfer.store import Recommendation, Results, recommend

__all__ = [
    "METHODS",
    "RECIPES",
    "Block",
    "Cell",
    "Inputs",
    "Method",
    "Recipe",
    "Recommendation",
    "Results",
    "blocks",
    "build_network",
    "execute",
    "holm",
    "paired_difference",
    "perform",
    "recommend",
]

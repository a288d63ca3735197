"""Searches that need forward passes only: masks are tried on the network as it is."""

from systolith.prune.search.anwar import LayerPlan, prune_by_particles
from systolith.prune.search.evaluation import GateEvaluator, LayerEvaluator
from systolith.prune.search.genes import Genes, SelectionGenes, TapGenes
from systolith.prune.search.lowering import lowered_rows
from systolith.prune.search.particles import (
    BestOfRandom,
    Objective,
    ParticleFilter,
    Search,
    minimize,
)
from systolith.prune.search.resampling import importance_weights, systematic_resampling
from systolith.prune.search.spaces import Choices, ExactlyK, Space
from systolith.prune.search.split import EvaluationSplit, Loss
from systolith.prune.search.stages import SearchReport
from systolith.prune.search.state import SearchState

__all__ = [
    "BestOfRandom",
    "Choices",
    "EvaluationSplit",
    "ExactlyK",
    "GateEvaluator",
    "Genes",
    "LayerEvaluator",
    "LayerPlan",
    "Loss",
    "Objective",
    "ParticleFilter",
    "Search",
    "SearchReport",
    "SearchState",
    "SelectionGenes",
    "Space",
    "TapGenes",
    "importance_weights",
    "lowered_rows",
    "minimize",
    "prune_by_particles",
    "systematic_resampling",
]

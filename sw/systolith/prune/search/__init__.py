"""Searches that need forward passes only: masks are tried on the unchanged network."""

from systolith.prune.search.additive import RIDGES, AdditiveModel, fit_additive_model
from systolith.prune.search.ensembles import (
    DROPPED,
    EnsembleScores,
    FilterLosses,
    LinearFilterEnsemble,
    sample_filter_masks,
)
from systolith.prune.search.evaluation import GateEvaluator, LayerEvaluator
from systolith.prune.search.feature_maps import prune_feature_maps_by_particles
from systolith.prune.search.genes import Genes, SelectionGenes, TapGenes, lowered_rows
from systolith.prune.search.kernels_and_taps import LayerPlan, prune_by_particles
from systolith.prune.search.particles import (
    BestOfRandom,
    ParticleFilter,
    ParticleLosses,
    Search,
    importance_weights,
    minimize,
    systematic_resampling,
)
from systolith.prune.search.rounds import FEWEST_MASKS, EnsembleProgress, prune_by_ensembles
from systolith.prune.search.spaces import ChoicePerRow, ExactlyK, ParticleSpace
from systolith.prune.search.split import EvaluationSplit, Loss
from systolith.prune.search.stages import SearchProgress
from systolith.prune.search.state import SearchState

__all__ = [
    "DROPPED",
    "FEWEST_MASKS",
    "RIDGES",
    "AdditiveModel",
    "BestOfRandom",
    "ChoicePerRow",
    "EnsembleProgress",
    "EnsembleScores",
    "EvaluationSplit",
    "ExactlyK",
    "FilterLosses",
    "GateEvaluator",
    "Genes",
    "LayerEvaluator",
    "LayerPlan",
    "LinearFilterEnsemble",
    "Loss",
    "ParticleFilter",
    "ParticleLosses",
    "ParticleSpace",
    "Search",
    "SearchProgress",
    "SearchState",
    "SelectionGenes",
    "TapGenes",
    "fit_additive_model",
    "importance_weights",
    "lowered_rows",
    "minimize",
    "prune_by_ensembles",
    "prune_by_particles",
    "prune_feature_maps_by_particles",
    "sample_filter_masks",
    "systematic_resampling",
]

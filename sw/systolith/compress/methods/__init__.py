"""Configurations of the pruning methods, for :func:`systolith.compress.prune_model`."""

from systolith.compress.methods.masking import (
    ADMMPruning,
    DPFPruning,
    DPPPruning,
    JointPruning,
    MagnitudePruning,
    OBSPruning,
    ParticlePruning,
    Rules,
    SPPPruning,
    SRSTEPruning,
    WeightPruning,
    WeightScore,
)
from systolith.compress.methods.pruning import (
    Pruning,
    SearchPruning,
)
from systolith.compress.methods.removal import (
    DJPQPruning,
    DPPFilterPruning,
    EnsemblePruning,
    FilterPruning,
    FilterRemoval,
    FilterScorePruning,
    GDPPruning,
    TaylorPruning,
)

__all__ = [
    "ADMMPruning",
    "DJPQPruning",
    "DPFPruning",
    "DPPFilterPruning",
    "DPPPruning",
    "EnsemblePruning",
    "FilterPruning",
    "FilterRemoval",
    "FilterScorePruning",
    "GDPPruning",
    "JointPruning",
    "MagnitudePruning",
    "OBSPruning",
    "ParticlePruning",
    "Pruning",
    "Rules",
    "SPPPruning",
    "SRSTEPruning",
    "SearchPruning",
    "TaylorPruning",
    "WeightPruning",
    "WeightScore",
]

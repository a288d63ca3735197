"""Compression: the one path from a float model to a pruned, quantized one.

:func:`check_model` says before any training what will be refused. :func:`compress_model` goes all
the way; :func:`prune_model` and :func:`quantize_model` are its parts. A :class:`Trainer` holds the
data, the recipe and files of unfinished work. Each pruning method has a configuration, such as
:class:`SRSTEPruning`.

Files: ``pipeline`` is the path; ``weights``, ``filters`` and ``ensembles`` carry out the methods of
:mod:`systolith.prune` that ``methods`` configures; ``budgets`` chooses patterns; ``recalibration``
is for batch norms; ``check`` rehearses everything without training.
"""

from systolith.compress.budgets import (
    CycleBudget,
    HardwareCost,
    MacBudget,
    ParameterBudget,
    PatternBudget,
    PatternChoice,
    choose_patterns,
    pattern_budget,
)
from systolith.compress.check import (
    CheckStep,
    LayerCheck,
    ModelCheck,
    ModelProblem,
    check_model,
    check_prunings,
    find_given_patterns,
)
from systolith.compress.methods import (
    ADMMPruning,
    DJPQPruning,
    DPFPruning,
    DPPFilterPruning,
    DPPPruning,
    EnsemblePruning,
    FilterPruning,
    FilterRemoval,
    FilterScorePruning,
    GDPPruning,
    JointPruning,
    MagnitudePruning,
    OBSPruning,
    ParticlePruning,
    Pruning,
    Rules,
    SearchPruning,
    SPPPruning,
    SRSTEPruning,
    TaylorPruning,
    WeightPruning,
    WeightScore,
)
from systolith.compress.pipeline import (
    compress_model,
    prune_model,
    quantize_model,
)
from systolith.compress.pruned_model import (
    PrunedModel,
    load_pruned,
    load_quantized,
    save_pruned,
    save_quantized,
)
from systolith.compress.trainer import Trainer

__all__ = [
    "ADMMPruning",
    "CheckStep",
    "CycleBudget",
    "DJPQPruning",
    "DPFPruning",
    "DPPFilterPruning",
    "DPPPruning",
    "EnsemblePruning",
    "FilterPruning",
    "FilterRemoval",
    "FilterScorePruning",
    "GDPPruning",
    "HardwareCost",
    "JointPruning",
    "LayerCheck",
    "MacBudget",
    "MagnitudePruning",
    "ModelCheck",
    "ModelProblem",
    "OBSPruning",
    "ParameterBudget",
    "ParticlePruning",
    "PatternBudget",
    "PatternChoice",
    "PrunedModel",
    "Pruning",
    "Rules",
    "SPPPruning",
    "SRSTEPruning",
    "SearchPruning",
    "TaylorPruning",
    "Trainer",
    "WeightPruning",
    "WeightScore",
    "check_model",
    "check_prunings",
    "choose_patterns",
    "compress_model",
    "find_given_patterns",
    "load_pruned",
    "load_quantized",
    "pattern_budget",
    "prune_model",
    "quantize_model",
    "save_pruned",
    "save_quantized",
]

"""The pruning steps of an experiment, from its sections to a pruned model."""

from systolith.steps.pruning.context import PruneContext
from systolith.steps.pruning.run import check_steps, prune_model, quantize_pruned
from systolith.steps.pruning.weights import pattern_of

__all__ = [
    "PruneContext",
    "check_steps",
    "pattern_of",
    "prune_model",
    "quantize_pruned",
]

"""Training: one compact loop, and the phases from a float model to a quantized one."""

from systolith.train.checkpoint import CheckpointError, save_state
from systolith.train.fit import Algorithm, DivergedError, Precision, TrainingError, evaluate, fit
from systolith.train.progress import Progress, Report
from systolith.train.recipe import (
    Recipe,
    train_float,
    train_pruned,
    train_pruned_quantized,
    train_quantized,
)

__all__ = [
    "Algorithm",
    "CheckpointError",
    "DivergedError",
    "Precision",
    "Progress",
    "Recipe",
    "Report",
    "TrainingError",
    "evaluate",
    "fit",
    "save_state",
    "train_float",
    "train_pruned",
    "train_pruned_quantized",
    "train_quantized",
]

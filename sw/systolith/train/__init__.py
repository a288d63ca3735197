"""Training: one compact loop with checkpoints, and recipes for its phases."""

from systolith.train.checkpoint import (
    CheckpointError,
    clear_checkpoints,
    save_state,
    save_tensors,
)
from systolith.train.fit import Algorithm, DivergedError, Precision, TrainingError, evaluate, fit
from systolith.train.progress import Progress, Report
from systolith.train.recipe import Recipe, train_float

__all__ = [
    "Algorithm",
    "CheckpointError",
    "DivergedError",
    "Precision",
    "Progress",
    "Recipe",
    "Report",
    "TrainingError",
    "clear_checkpoints",
    "evaluate",
    "fit",
    "save_state",
    "save_tensors",
    "train_float",
]

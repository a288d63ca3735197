"""Training: one loop with checkpoints, and recipes for its phases."""

from systolith.train.checkpoint import (
    CheckpointError,
    clear_checkpoints,
    save_state,
    save_tensors,
)
from systolith.train.fit import Algorithm, DivergedError, Precision, TrainingError, evaluate, fit
from systolith.train.progress import EpochCallback, EpochProgress
from systolith.train.recipe import Recipe, train_float

__all__ = [
    "Algorithm",
    "CheckpointError",
    "DivergedError",
    "EpochCallback",
    "EpochProgress",
    "Precision",
    "Recipe",
    "TrainingError",
    "clear_checkpoints",
    "evaluate",
    "fit",
    "save_state",
    "save_tensors",
    "train_float",
]

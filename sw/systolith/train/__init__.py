"""Training: one loop with checkpoints, and recipes for its phases."""

from systolith.train.checkpoint import (
    CheckpointError,
    clear_checkpoints,
    load_state,
    save_state,
    save_tensors,
)
from systolith.train.errors import DivergedError, TrainingError
from systolith.train.evaluation import Metric, evaluate, evaluate_data
from systolith.train.fit import fit
from systolith.train.objectives import CrossEntropy, TrainingObjective
from systolith.train.optimizers import Algorithm
from systolith.train.precision import Precision
from systolith.train.progress import EpochCallback, EpochProgress
from systolith.train.recipe import Recipe, train_float
from systolith.train.teaching import DenseTeacher, Normalized, Teacher

__all__ = [
    "Algorithm",
    "CheckpointError",
    "CrossEntropy",
    "DenseTeacher",
    "DivergedError",
    "EpochCallback",
    "EpochProgress",
    "Metric",
    "Normalized",
    "Precision",
    "Recipe",
    "Teacher",
    "TrainingError",
    "TrainingObjective",
    "clear_checkpoints",
    "evaluate",
    "evaluate_data",
    "fit",
    "load_state",
    "save_state",
    "save_tensors",
    "train_float",
]

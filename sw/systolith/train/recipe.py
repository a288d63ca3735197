"""Recipes: epochs, learning rates and other settings of all training phases."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from systolith.data import Augment, Dataset
from systolith.foundation import no_progress
from systolith.train.fit import fit
from systolith.train.optimizers import Algorithm
from systolith.train.precision import Precision
from systolith.train.progress import EpochCallback

__all__ = ["Recipe", "train_float"]

PRUNE_RATE_DIVISOR = 2
"""Pruning starts from trained weights, which a full learning rate would undo. The kept weights
must still move enough to compensate for pruned ones."""
QUANTIZE_RATE_DIVISOR = 6
"""Quantized training starts near its optimum: weights only move to neighbouring integers. A higher
learning rate makes them oscillate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Settings of all training phases.

    Parameters
    ----------
    float_epochs, prune_epochs, quantize_epochs : int
        Epochs per phase. 0 skips the training of a phase; masks and quantizer steps are still
        chosen.
    learning_rate : float
        Highest learning rate of the float phase; later phases have lower ones.
    batch_size, weight_decay, algorithm, precision
        See :func:`fit`. Quantized training has no weight decay.
    augment : Augment, optional
        Applied to each batch of all phases.
    seed : int
        Seed of all phases.
    """

    float_epochs: int = 30
    prune_epochs: int = 20
    quantize_epochs: int = 10
    learning_rate: float = 3e-3
    batch_size: int = 64
    weight_decay: float = 1e-3
    algorithm: Algorithm = Algorithm.ADAMW
    precision: Precision = Precision.FLOAT32
    augment: Augment | None = None
    seed: int = 0

    @property
    def prune_learning_rate(self) -> float:
        """Highest learning rate of training while pruning: half of the float phase's."""
        return self.learning_rate / PRUNE_RATE_DIVISOR

    @property
    def quantize_learning_rate(self) -> float:
        """Highest learning rate of quantized training: a sixth of the float phase's."""
        return self.learning_rate / QUANTIZE_RATE_DIVISOR


def train_float(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe | None = None,
    progress: EpochCallback = no_progress,
    checkpoint: Path | None = None,
) -> None:
    """Train dense float weights in place; resume from the checkpoint if it exists."""
    recipe = recipe or Recipe()
    fit(
        model,
        data,
        epochs=recipe.float_epochs,
        learning_rate=recipe.learning_rate,
        seed=recipe.seed,
        phase="float",
        progress=progress,
        checkpoint=checkpoint,
        batch_size=recipe.batch_size,
        weight_decay=recipe.weight_decay,
        algorithm=recipe.algorithm,
        precision=recipe.precision,
        augment=recipe.augment,
    )

"""How a network is trained, from float weights to quantized ones; and the float phase."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from systolith.data import Augment, Dataset
from systolith.foundation import no_progress
from systolith.train.fit import Algorithm, Precision, fit
from systolith.train.progress import EpochCallback

__all__ = ["Recipe", "train_float"]

PRUNE_RATE_DIVISOR = 2
"""Pruning starts from trained weights, which large steps would undo; but the kept weights must
still move to make up for the pruned ones."""
QUANTIZE_RATE_DIVISOR = 6
"""Quantized training only moves weights between neighbouring integers; with larger steps they jump
back and forth, and the loss of the float model is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How long each phase takes, and how.

    Parameters
    ----------
    float_epochs, prune_epochs, quantize_epochs : int
        0 skips training in that phase; masks and steps are still chosen.
    learning_rate : float
        Highest learning rate of the float phase, see also :attr:`prune_learning_rate` and
        :attr:`quantize_learning_rate`.
    batch_size, weight_decay, algorithm, precision
        See :func:`fit`. Quantized training has no weight decay.
    augment : Augment, optional
        Applied to each batch of all phases.
    seed : int
        Of all phases.
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
    """Train dense float weights, in place, resuming from the checkpoint if it is there."""
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

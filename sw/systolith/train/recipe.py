"""Recipes: epochs, learning rates and other settings of all training phases."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from systolith.data import Augment, Dataset, MixingAugment
from systolith.foundation import kind_problems, no_progress, plain_number
from systolith.train.devices import find_device, placed_on
from systolith.train.errors import TrainingError
from systolith.train.fit import fit
from systolith.train.objectives import TrainingObjective
from systolith.train.optimizers import Algorithm
from systolith.train.precision import Precision
from systolith.train.progress import EpochCallback
from systolith.train.teaching import DenseTeacher, Teacher

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
    warmup, batch_size, weight_decay, algorithm, precision
        See :func:`fit`. Quantized training has no weight decay.
    augment : Augment or MixingAugment, optional
        Applied to each batch of all phases.
    objective : callable, optional
        Loss of all phases; see :func:`fit`.
    teacher : Teacher or DenseTeacher, optional
        A :class:`Teacher` teaches in all phases; a :class:`DenseTeacher` in pruning and quantized
        training.
    ema, clip_norm : float, optional
        Of all phases; see :func:`fit`.
    seed : int
        Seed of all phases.
    device : str
        Where models are trained and pruned: "cpu", "cuda", "mps", or "auto", the first GPU if there
        is one. Models are moved there, and back afterwards. Images stay where they are; each batch
        is moved.
    """

    float_epochs: int = 30
    prune_epochs: int = 20
    quantize_epochs: int = 10
    learning_rate: float = 3e-3
    warmup: float = 0.0
    batch_size: int = 64
    weight_decay: float = 1e-3
    algorithm: Algorithm = Algorithm.ADAMW
    precision: Precision = Precision.FLOAT32
    augment: Augment | MixingAugment | None = None
    objective: TrainingObjective | None = None
    teacher: Teacher | DenseTeacher | None = None
    ema: float | None = None
    clip_norm: float | None = None
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for name, value in self.settings.items():
            object.__setattr__(self, name, plain_number(value))

    @property
    def settings(self) -> dict[str, Any]:
        """All fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def placing(self, model: nn.Module) -> AbstractContextManager[None]:
        """Return a context in which a model is on the device; it returns to where it was.

        Raises
        ------
        TrainingError
            If the device is unknown or absent.
        """
        return placed_on(find_device(self.device), model)

    @property
    def prune_learning_rate(self) -> float:
        """Highest learning rate of training while pruning: half of the float phase's."""
        return self.learning_rate / PRUNE_RATE_DIVISOR

    @property
    def quantize_learning_rate(self) -> float:
        """Highest learning rate of quantized training: a sixth of the float phase's."""
        return self.learning_rate / QUANTIZE_RATE_DIVISOR

    def taught_by(self, model: nn.Module) -> "Recipe":
        """Return the recipe with the model, as it is now, as its teacher if that is dense."""
        if isinstance(self.teacher, DenseTeacher):
            return replace(self, teacher=self.teacher.of(model))
        return self

    @property
    def shared_settings(self) -> dict[str, Any]:
        """Arguments of :func:`fit` that are the same in all phases.

        A :class:`DenseTeacher` teaches nothing before :meth:`taught_by`.
        """
        return {
            "warmup": self.warmup,
            "batch_size": self.batch_size,
            "algorithm": self.algorithm,
            "precision": self.precision,
            "augment": self.augment,
            "objective": self.objective,
            "teacher": self.teacher if isinstance(self.teacher, Teacher) else None,
            "ema": self.ema,
            "clip_norm": self.clip_norm,
        }


def train_float(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe | None = None,
    progress: EpochCallback = no_progress,
    checkpoint: Path | None = None,
) -> None:
    """Train dense float weights in place; resume from the checkpoint if it exists."""
    recipe = Recipe() if recipe is None else recipe
    kinds = [*kind_problems("model", model, nn.Module), *kind_problems("recipe", recipe, Recipe)]
    TrainingError.raise_if_any(kinds)
    with recipe.placing(model):
        fit(
            model,
            data,
            epochs=recipe.float_epochs,
            learning_rate=recipe.learning_rate,
            seed=recipe.seed,
            phase="float",
            progress=progress,
            checkpoint=checkpoint,
            weight_decay=recipe.weight_decay,
            **recipe.shared_settings,
        )

"""What all pruning steps share: data, recipe, and files of unfinished work."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from systolith.config import PruneStep
from systolith.data import Dataset, hold_out
from systolith.prune import EvaluationSplit, Loss, Sparsifier
from systolith.steps.odds import recording
from systolith.train import Recipe, Report, fit, save_state

__all__ = ["CALIBRATION_IMAGES", "HISTORY", "PruneContext"]

CALIBRATION_IMAGES = 512
HISTORY = "odds.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneContext:
    """What all steps share.

    Attributes
    ----------
    data : Dataset
        To train on; images to choose masks by are held out of its training part.
    recipe : Recipe
        Of training.
    multipliers : int
        Of the hardware, for budgets of cycles.
    report : callable
        Hears of progress.
    checkpoint : Path
        Files whose names begin like this hold unfinished work.
    """

    data: Dataset
    recipe: Recipe
    multipliers: int
    report: Report
    checkpoint: Path

    def part(self, name: str) -> Path:
        """Name the checkpoint of a part."""
        return self.checkpoint.with_name(f"{self.checkpoint.name}-{name}")

    def epochs(self, step: PruneStep) -> int:
        """Epochs of training while pruning."""
        return self.recipe.prune_epochs if step.epochs is None else step.epochs

    def split(self, images: int, loss: Loss) -> EvaluationSplit:
        """Training images to try masks on."""
        held = hold_out(self.data, images, self.recipe.seed)
        return EvaluationSplit(images=held.images, labels=held.labels, loss=loss)

    def fit(
        self,
        model: nn.Module,
        step: PruneStep,
        epochs: int,
        name: str,
        sparsifier: Sparsifier | None,
        weight_decay: float | None = None,
    ) -> None:
        """Train a part of a step; resumable, and cached once it is done."""
        recipe = self.recipe
        fit(
            model,
            self.data,
            epochs=epochs,
            learning_rate=step.learning_rate or recipe.learning_rate / 2,
            batch_size=recipe.batch_size,
            weight_decay=recipe.weight_decay if weight_decay is None else weight_decay,
            algorithm=recipe.algorithm,
            precision=recipe.precision,
            augment=recipe.augment,
            sparsifier=sparsifier,
            seed=recipe.seed + 1,
            phase=name,
            report=recording(sparsifier, self.report, self.part(HISTORY)),
            checkpoint=self.part(name),
        )

    def save_search(self, name: str, state: Mapping[str, Any]) -> None:
        """Keep what a search has found so far."""
        save_state(state, self.part(f"{name}-search"))

    def load_search(self, name: str) -> Mapping[str, Any] | None:
        """Read what :meth:`save_search` kept, if there is anything."""
        path = self.part(f"{name}-search")
        return torch.load(path, weights_only=True) if path.exists() else None

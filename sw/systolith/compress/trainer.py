"""What all phases of compression share: data, recipe, and files of unfinished work."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from systolith.compress.methods import DPPFilterPruning, Pruning, SearchPruning
from systolith.data import Dataset, TargetKind, hold_out
from systolith.foundation import kind_problems, no_progress, replacing
from systolith.prune import (
    ADMM,
    DPF,
    DPP,
    SPP,
    SRSTE,
    EvaluationSplit,
    Loss,
    MaskStatistics,
    Sparsifier,
)
from systolith.train import (
    CheckpointError,
    EpochCallback,
    EpochProgress,
    Precision,
    Recipe,
    TrainingError,
    fit,
    load_state,
    save_state,
)
from systolith.train.devices import float64_problems
from systolith.train.probe import TrainingProbe, probe_training
from systolith.train.settings import setting_problems

__all__ = ["Trainer"]

HISTORY = "odds.json"


@runtime_checkable
class _HasStatistics(Protocol):
    def statistics(self) -> dict[str, MaskStatistics]: ...


_MOVING = ADMM | DPF | DPP | SPP | SRSTE
"""Methods whose masks move from epoch to epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """Trains a model in phases with one recipe, and keeps unfinished work in files.

    Parameters
    ----------
    data : Dataset
        Search methods hold out some of its training images.
    recipe : Recipe
    progress : callable, optional
        Called as :func:`systolith.train.fit` calls it.
    checkpoint : Path, optional
        Files whose paths begin with this one hold unfinished work, which resumes from them. Remove
        them with :func:`systolith.train.clear_checkpoints` once the result is safe.

    Raises
    ------
    TrainingError
        If an argument has a wrong type; all of them are listed.
    """

    data: Dataset
    recipe: Recipe = Recipe()
    progress: EpochCallback = no_progress
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        problems = [
            *kind_problems("data of a Trainer", self.data, Dataset),
            *kind_problems("recipe of a Trainer", self.recipe, Recipe),
        ]
        files = {"progress": self.progress, "checkpoint": self.checkpoint}
        TrainingError.raise_if_any([*problems, *setting_problems(files)])

    def probe(
        self,
        model: nn.Module,
        prunings: Sequence[Pruning],
        *,
        trains_float: bool = True,
        quantizes: bool = True,
    ) -> TrainingProbe:
        """Find what training will refuse.

        Parameters
        ----------
        model : nn.Module
        prunings : sequence of Pruning
            Methods that are about to train.
        trains_float, quantizes : bool
            Whether these phases are about to train, too.
        """
        recipe = self.recipe.taught_by(model)
        epochs = [recipe.float_epochs] if trains_float else []
        epochs += [recipe.quantize_epochs] if quantizes else []
        for pruning in prunings:
            epochs += [self.prune_epochs(pruning), pruning.finetune_epochs]
        labels = any(isinstance(p, SearchPruning | DPPFilterPruning) for p in prunings)
        probe = probe_training(model, self.data, recipe.settings, steps=any(epochs), labels=labels)
        own = [
            f"{pruning.method}: {problem}"
            for pruning in prunings
            for problem in setting_problems(_given_settings(pruning))
        ]
        if (kind := self.data.target) is not TargetKind.CLASSES:
            own += [
                f"{pruning.method} compares masks by the loss of classes, but targets of data set "
                f"'{self.data.name}' are of kind '{kind.value}'; methods that train take any"
                for pruning in prunings
                if isinstance(pruning, SearchPruning)
            ]
        if prunings or (quantizes and recipe.quantize_epochs):
            own += float64_problems(recipe.device)
        return replace(probe, problems=(*probe.problems, *own))

    def without_problems(self) -> "Trainer":
        """Return the trainer with the default of each setting of the recipe that is wrong."""
        defaults = Recipe().settings
        changes = {
            name: defaults[name]
            for name, value in self.recipe.settings.items()
            if any(setting_problems({name: value}))
        }
        return replace(self, recipe=replace(self.recipe, **changes))

    def checkpoint_path(self, name: str) -> Path | None:
        """Return the path of a file of unfinished work; None without a checkpoint."""
        if self.checkpoint is None:
            return None
        return self.checkpoint.with_name(f"{self.checkpoint.name}-{name}")

    def prune_epochs(self, pruning: Pruning) -> int:
        """Return the epochs of training while pruning."""
        return self.recipe.prune_epochs if pruning.epochs is None else pruning.epochs

    def prune_steps(self, pruning: Pruning) -> int:
        """Return the optimizer steps of training while pruning."""
        batches = -(-len(self.data.train_images) // self.recipe.batch_size)
        return self.prune_epochs(pruning) * batches

    def hold_out(self, images: int, loss: Loss) -> EvaluationSplit:
        """Hold out training images to evaluate masks, in the recipe's precision."""
        held = hold_out(self.data, images, self.recipe.seed)
        dtype = torch.bfloat16 if self.recipe.precision is Precision.BFLOAT16 else None
        return EvaluationSplit(images=held.images, labels=held.labels, loss=loss, dtype=dtype)

    def fit(
        self,
        model: nn.Module,
        phase: str,
        sparsifier: Sparsifier | None = None,
        pruning: Pruning | None = None,
        *,
        epochs: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        seed: int | None = None,
    ) -> None:
        """Train one phase in place; a finished phase is loaded from its checkpoint.

        Parameters
        ----------
        model : nn.Module
        phase : str
            Name in progress reports and of the checkpoint.
        sparsifier : Sparsifier, optional
            Prunes while training.
        pruning : Pruning, optional
            Gives epochs and learning rate.
        epochs, learning_rate, weight_decay, seed : optional
            By default those of `pruning`, then the recipe's for pruning.
        """
        recipe, pruning = self.recipe, pruning or Pruning()
        rates = (learning_rate, pruning.learning_rate, recipe.prune_learning_rate)
        fit(
            model,
            self.data,
            epochs=self.prune_epochs(pruning) if epochs is None else epochs,
            learning_rate=next(rate for rate in rates if rate is not None),
            weight_decay=recipe.weight_decay if weight_decay is None else weight_decay,
            sparsifier=sparsifier,
            seed=recipe.seed + 1 if seed is None else seed,
            phase=phase,
            progress=self._recording(phase, model, sparsifier),
            checkpoint=self.checkpoint_path(phase),
            **recipe.shared_settings,
        )

    def taught_by(self, model: nn.Module) -> "Trainer":
        """Return the trainer with :meth:`Recipe.taught_by` of its recipe."""
        return replace(self, recipe=self.recipe.taught_by(model))

    def save_search(self, name: str, state: Mapping[str, Any]) -> None:
        """Keep the state of an unfinished search, if there is a checkpoint."""
        if (path := self.checkpoint_path(f"{name}-search")) is not None:
            save_state(state, path)

    def load_search(self, name: str) -> Mapping[str, Any] | None:
        """Read the state of :meth:`save_search`; None without a file.

        Raises
        ------
        CheckpointError
            If the file is damaged.
        """
        path = self.checkpoint_path(f"{name}-search")
        if path is None or not path.exists():
            return None
        return load_state(path)

    def read_history(self) -> list[dict[str, Any]]:
        """Read the statistics of the masks after each epoch; empty without a checkpoint.

        By layer: ``moved``, the share of the kept weights that were not kept at the start, and for
        trained probabilities ``confidence`` and ``diversity``; all 0..1.
        """
        path = self.checkpoint_path(HISTORY)
        if path is None or not path.exists():
            return []
        try:
            entries: list[dict[str, Any]] = json.loads(path.read_text())
        except ValueError as error:
            raise CheckpointError(
                f"checkpoint '{path}' cannot be read; remove it to start anew: {error}"
            ) from error
        return entries

    def _recording(
        self, phase: str, model: nn.Module, sparsifier: Sparsifier | None
    ) -> EpochCallback:
        """Report progress, and write statistics of the masks after each epoch."""
        path = self.checkpoint_path(HISTORY)
        if path is None or not isinstance(sparsifier, _MOVING | _HasStatistics):
            return self.progress
        start = sparsifier.masks(model) if isinstance(sparsifier, _MOVING) else {}

        def report(progress: EpochProgress) -> None:
            if progress.epoch_done:
                earlier = [
                    entry
                    for entry in self.read_history()
                    if entry["phase"] != phase or entry["epoch"] < progress.epoch
                ]
                layers = _describe_masks(model, sparsifier, start)
                entry = {"phase": phase, "epoch": progress.epoch, "layers": layers}
                entries = [*earlier, entry]
                with replacing(path) as temporary:
                    temporary.write_text(json.dumps(entries))
            self.progress(progress)

        return report


def _given_settings(pruning: Pruning) -> dict[str, Any]:
    names = ("epochs", "finetune_epochs", "learning_rate")
    values = {name: getattr(pruning, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _describe_masks(
    model: nn.Module, sparsifier: Sparsifier, start: Mapping[str, Tensor]
) -> dict[str, dict[str, float]]:
    """Return the confidence, the diversity and the moved share of each layer's mask."""
    layers: dict[str, dict[str, float]] = {}
    if isinstance(sparsifier, _HasStatistics):
        layers = {name: asdict(layer) for name, layer in sparsifier.statistics().items()}
    if isinstance(sparsifier, _MOVING):
        for name, mask in sparsifier.masks(model).items():
            moved = float((mask & ~start[name]).sum() / mask.sum())
            layers.setdefault(name.removesuffix(".weight"), {})["moved"] = moved
    return layers

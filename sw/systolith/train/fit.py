"""A compact training loop for data sets in memory."""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import nn

from systolith.data import Augment, Dataset, MixingAugment, TargetKind
from systolith.foundation import no_progress, plain_number
from systolith.prune import (
    FilterSparsifier,
    Sparsifier,
    WeightSparsifier,
    describe_sparsifier,
    frozen_density,
)
from systolith.train.averaging import average_weights, take_average_
from systolith.train.batch_trainer import BatchTrainer
from systolith.train.batches import Batch, draw_batches
from systolith.train.checkpoint import TrainingState
from systolith.train.errors import TrainingError
from systolith.train.objectives import TrainingObjective, describe_setting
from systolith.train.optimizers import Algorithm, make_optimizer
from systolith.train.precision import Precision
from systolith.train.probe import probe_training
from systolith.train.progress import EpochCallback, EpochProgress
from systolith.train.targets import default_objective
from systolith.train.teaching import Teacher

__all__ = ["fit"]

REPORT_SECONDS = 1.0
KNOWS, GUESSES = 4, 1.5
"""Accuracy, as a multiple of the share of one class, of a model that knows the classes, and the
most of one that guesses."""


def fit(
    model: nn.Module,
    data: Dataset,
    *,
    epochs: int,
    learning_rate: float = 3e-3,
    warmup: float = 0.0,
    batch_size: int = 64,
    weight_decay: float = 1e-3,
    algorithm: Algorithm = Algorithm.ADAMW,
    precision: Precision = Precision.FLOAT32,
    augment: Augment | MixingAugment | None = None,
    objective: TrainingObjective | None = None,
    teacher: Teacher | None = None,
    ema: float | None = None,
    clip_norm: float | None = None,
    sparsifier: Sparsifier | None = None,
    seed: int = 0,
    phase: str = "float",
    progress: EpochCallback = no_progress,
    checkpoint: Path | None = None,
) -> None:
    """Train a model in place, and leave it in evaluation mode.

    The same arguments give the same weights, bit for bit, on the same machine with the same number
    of threads, even if training was interrupted and resumed from its checkpoint. A warning says if
    a model that knew the classes only guesses after its first epoch.

    Parameters
    ----------
    model : nn.Module
        Returns what the data set's kind of target needs: logits of shape (N, classes), or
        (N, classes, H, W) of pixels; or values of the targets' shape, or flattened. Trained on its
        current device.
    data : Dataset
        Only its training part is read.
    epochs : int
        At least 0; 0 leaves the weights unchanged.
    learning_rate : float
        Highest learning rate; it falls to zero along half a cosine.
    warmup : float
        Share of all steps, 0..1, in which the learning rate first rises linearly from zero.
    batch_size : int
        The last batch of an epoch has the remaining images.
    weight_decay : float
        Applied to weights, not to biases, batch norms and quantizer steps.
    algorithm : Algorithm
        Optimizer.
    precision : Precision
        Arithmetic of forward and backward.
    augment : Augment or MixingAugment, optional
        Applied to each batch.
    objective : callable, optional
        The loss; by default :class:`CrossEntropy` without label smoothing for classes, and
        ``nn.MSELoss()`` for values and autoencoders.
    teacher : Teacher, optional
        Trained network whose outputs the model learns, besides the targets.
    ema : float, optional
        Decay of a moving average of the weights, 0..1; the model ends with the average. About
        ``1 / (1 - ema)`` last steps count, fewer at the start (:func:`average_weights`).
    clip_norm : float, optional
        Largest Euclidean norm of the gradient of all parameters together; a larger one is scaled.
    sparsifier : Sparsifier, optional
        Prunes while training; it trains its own parameters.
    seed : int
        Seed of the order of images, augmentation and dropout.
    phase : str
        Name in progress reports.
    progress : callable, optional
        Called with an :class:`EpochProgress` after each epoch and about once per second.
    checkpoint : Path, optional
        Written after each epoch; if it exists, training resumes after its last epoch. The caller
        removes it once the result is safe.

    Raises
    ------
    TrainingError
        If an argument has a wrong type or is out of range, or the data does not fit the model, or
        the teacher does not; all problems are listed.
    DivergedError
        If the loss is no longer finite.
    CheckpointError
        If the checkpoint is damaged or was written by other training.
    """
    settings = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "warmup": warmup,
        "batch_size": batch_size,
        "weight_decay": weight_decay,
        "algorithm": algorithm,
        "precision": precision,
        "augment": augment,
        "objective": objective,
        "teacher": teacher,
        "ema": ema,
        "clip_norm": clip_norm,
        "sparsifier": sparsifier,
        "seed": seed,
        "phase": phase,
    }
    files = {"progress": progress, "checkpoint": checkpoint}
    probe = probe_training(model, data, {**settings, **files}, steps=epochs != 0)
    TrainingError.raise_if_any(probe.problems)
    for warning in probe.warnings:
        warnings.warn(warning, stacklevel=2)
    # Checkpoints hold plain numbers only, not those of NumPy.
    epochs, batch_size, seed = int(epochs), int(batch_size), int(seed)
    learning_rate, warmup, weight_decay = map(float, (learning_rate, warmup, weight_decay))
    objective = objective or default_objective(data.target)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    state = TrainingState(
        model=model,
        optimizer=make_optimizer(model, algorithm, learning_rate, weight_decay),
        sparsifier=sparsifier,
        average=None if ema is None else average_weights(model, ema),
        generator=torch.Generator().manual_seed(seed),
        device=device,
        settings=_describe({**settings, "objective": objective}, data),
    )
    model.train()
    precision.arrange_(model)
    trainer = BatchTrainer(
        state=state,
        kind=data.target,
        objective=objective,
        teacher=teacher,
        taught=teacher.prepare(data, augment, precision, device) if teacher and epochs else None,
        precision=precision,
        learning_rate=learning_rate,
        warmup=warmup,
        clip_norm=clip_norm,
        phase=phase,
    )
    steps = -(-len(data.train_images) // batch_size)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        first = state.load(checkpoint) if checkpoint and checkpoint.exists() else 0
        report = _Reporter(trainer, progress, first, epochs, steps)
        for epoch in range(first, epochs):
            batches = draw_batches(
                data, batch_size, augment, state.generator, device, probe.classes
            )
            start, accuracy = _train_epoch(trainer, batches, epoch, report)
            if epoch == 0 and _has_forgotten(start, accuracy, probe.classes):
                warnings.warn(
                    f"phase '{phase}' has forgotten the classes: {accuracy:.1%} of the images are "
                    f"right in epoch 1, {start:.1%} were before it; "
                    f"try a learning_rate below {learning_rate}",
                    stacklevel=2,
                )
            if checkpoint is not None:
                state.save(checkpoint, epoch + 1)
    if state.average is not None:
        take_average_(model, state.average)
    model.eval()


def _has_forgotten(before: float | None, after: float | None, classes: int) -> bool:
    """Whether a model that knew the classes only guesses now, by shares of right ones."""
    if before is None or after is None:
        return False
    return before > KNOWS / classes > GUESSES / classes > after


def _describe(settings: Mapping[str, Any], data: Dataset) -> dict[str, Any]:
    """Write the settings as plain values, which checkpoints compare."""
    teacher, sparsifier = settings["teacher"], settings["sparsifier"]
    plain = {name: plain_number(value) for name, value in settings.items()}
    return {
        **plain,
        "images": len(data.train_images),
        "algorithm": settings["algorithm"].value,
        "precision": settings["precision"].value,
        "augment": describe_setting(settings["augment"]),
        "objective": describe_setting(settings["objective"]),
        "teacher": None if teacher is None else teacher.description,
        "sparsifier": None if sparsifier is None else describe_sparsifier(sparsifier),
        **({} if data.target is TargetKind.CLASSES else {"target": data.target.value}),
    }


def _train_epoch(
    trainer: BatchTrainer, batches: Iterable[Batch], epoch: int, report: "_Reporter"
) -> tuple[float | None, float | None]:
    """Train on all batches; `epoch` counts from 0.

    Returns the accuracy of the first batch, which is seen before the first step, and of all; None
    if targets are no classes.
    """
    loss_sum, seen, right, known = 0.0, 0, 0, 0
    first: float | None = None
    accuracy: float | None = None
    for step, batch in enumerate(batches, 1):
        elapsed = (epoch * report.steps + step - 1) / (report.epochs * report.steps)
        loss, right_now, known_now = trainer.take_step(batch, elapsed, epoch + 1)
        loss_sum += loss * len(batch.images)
        seen += len(batch.images)
        right, known = right + right_now, known + known_now
        accuracy = right / known if known else None
        first = accuracy if step == 1 else first
        report.after(epoch, step, loss_sum / seen, accuracy)
    return first, accuracy


class _Reporter:
    """Reports progress after each epoch, and about once per second."""

    def __init__(
        self, trainer: BatchTrainer, progress: EpochCallback, first: int, epochs: int, steps: int
    ) -> None:
        self.epochs, self.steps = epochs, steps
        self._trainer, self._progress, self._first = trainer, progress, first
        self._start = self._last = monotonic()

    def after(self, epoch: int, step: int, loss: float, accuracy: float | None) -> None:
        """Report the state after a step, if it is time to; `epoch` counts from 0."""
        now, trainer = monotonic(), self._trainer
        if step < self.steps and now - self._last < REPORT_SECONDS:
            return
        self._last = now
        done = (epoch - self._first) * self.steps + step
        total = (self.epochs - self._first) * self.steps
        self._progress(
            EpochProgress.make(
                trainer.phase,
                epoch + 1,
                self.epochs,
                step=step,
                steps=self.steps,
                loss=loss,
                accuracy=accuracy,
                density=_density(trainer.state),
                seconds_left=(now - self._start) * (total / done - 1),
            )
        )


def _density(state: TrainingState) -> float:
    """Share kept of what is pruned, or of what masks that a quantized model holds leave."""
    match state.sparsifier:
        case WeightSparsifier() as sparsifier:
            return sparsifier.masks(state.model).density
        case FilterSparsifier() as sparsifier:
            return sparsifier.filters(state.model).density
        case _:
            return frozen_density(state.model)

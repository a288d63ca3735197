"""A compact training loop for data sets in memory."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from torch import Tensor, nn

from systolith.data import Augment, Dataset, MixingAugment
from systolith.foundation import kind_problems, no_progress, plain_number, show_value
from systolith.prune import (
    FilterSparsifier,
    Sparsifier,
    WeightSparsifier,
    describe_sparsifier,
    frozen_density,
)
from systolith.trace import evaluating
from systolith.train.averaging import average_weights, take_average_
from systolith.train.batch_trainer import BatchTrainer
from systolith.train.batches import Batch, draw_batches
from systolith.train.checkpoint import TrainingState
from systolith.train.errors import TrainingError
from systolith.train.objectives import CrossEntropy, TrainingObjective, describe_setting
from systolith.train.optimizers import Algorithm, make_optimizer
from systolith.train.precision import Precision
from systolith.train.probe import output_problems, probe_training
from systolith.train.progress import EpochCallback, EpochProgress
from systolith.train.teaching import Teacher

__all__ = ["evaluate", "fit"]

EVALUATION_BATCH = 512
REPORT_SECONDS = 1.0
CROSS_ENTROPY = CrossEntropy()
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
    objective: TrainingObjective = CROSS_ENTROPY,
    teacher: Teacher | None = None,
    ema: float | None = None,
    clip_norm: float | None = None,
    sparsifier: Sparsifier | None = None,
    seed: int = 0,
    phase: str = "float",
    progress: EpochCallback = no_progress,
    checkpoint: Path | None = None,
) -> None:
    """Train a classifier in place, and leave it in evaluation mode.

    The same arguments give the same weights, bit for bit, on the same machine with the same number
    of threads, even if training was interrupted and resumed from its checkpoint. A warning says if
    a model that knew the classes only guesses after its first epoch.

    Parameters
    ----------
    model : nn.Module
        Returns logits, shape (N, classes). Trained on its current device.
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
    objective : callable
        The loss; :class:`CrossEntropy` without label smoothing by default.
    teacher : Teacher, optional
        Trained network whose outputs the model learns, besides the labels.
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
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    state = TrainingState(
        model=model,
        optimizer=make_optimizer(model, algorithm, learning_rate, weight_decay),
        sparsifier=sparsifier,
        average=None if ema is None else average_weights(model, ema),
        generator=torch.Generator().manual_seed(seed),
        device=device,
        settings=_describe(settings, len(data.train_images)),
    )
    model.train()
    precision.arrange_(model)
    trainer = BatchTrainer(
        state=state,
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
            if epoch == 0 and start > KNOWS / probe.classes > GUESSES / probe.classes > accuracy:
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


def _describe(settings: Mapping[str, Any], images: int) -> dict[str, Any]:
    """Write the settings as plain values, which checkpoints compare."""
    teacher, sparsifier = settings["teacher"], settings["sparsifier"]
    plain = {name: plain_number(value) for name, value in settings.items()}
    return {
        **plain,
        "images": images,
        "algorithm": settings["algorithm"].value,
        "precision": settings["precision"].value,
        "augment": describe_setting(settings["augment"]),
        "objective": describe_setting(settings["objective"]),
        "teacher": None if teacher is None else teacher.description,
        "sparsifier": None if sparsifier is None else describe_sparsifier(sparsifier),
    }


def _train_epoch(
    trainer: BatchTrainer, batches: Iterable[Batch], epoch: int, report: "_Reporter"
) -> tuple[float, float]:
    """Train on all batches; `epoch` counts from 0.

    Returns the accuracy of the first batch, which is seen before the first step, and of all.
    """
    loss_sum, right, seen, first = 0.0, 0, 0, 0.0
    for step, batch in enumerate(batches, 1):
        elapsed = (epoch * report.steps + step - 1) / (report.epochs * report.steps)
        loss, correct = trainer.take_step(batch, elapsed, epoch + 1)
        loss_sum += loss * len(batch.labels)
        right += correct
        seen += len(batch.labels)
        if step == 1:
            first = right / seen
        report.after(epoch, step, loss_sum / seen, right / seen)
    return first, right / seen


class _Reporter:
    """Reports progress after each epoch, and about once per second."""

    def __init__(
        self, trainer: BatchTrainer, progress: EpochCallback, first: int, epochs: int, steps: int
    ) -> None:
        self.epochs, self.steps = epochs, steps
        self._trainer, self._progress, self._first = trainer, progress, first
        self._start = self._last = monotonic()

    def after(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
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


@torch.no_grad()
def evaluate(
    classifier: nn.Module | Callable[[Tensor], Tensor], images: Tensor, labels: Tensor
) -> float:
    """Return the share of images that are classified correctly, 0..1.

    Parameters
    ----------
    classifier : nn.Module or callable
        Maps images to logits, shape (N, classes), of any type. A module runs in evaluation mode.
        For integers, pass ``IntegerModel(...).logits``. Ties go to the lower class.
    images : Tensor, shape (N, C, H, W)
    labels : Tensor of integers, shape (N,)

    Raises
    ------
    TrainingError
        If there are no images, they do not fit the module, there is not one label for each, or a
        label has no output.
    """
    tensors = (("images", images), ("labels", labels))
    problems = [text for name, value in tensors for text in kind_problems(name, value, Tensor)]
    if isinstance(classifier, type) or not callable(classifier):
        problems.append(f"classifier must be a Module or a function, got {show_value(classifier)}")
    TrainingError.raise_if_any(problems)
    if not len(images) or labels.shape != images.shape[:1] or labels.is_floating_point():
        shapes = f"{tuple(images.shape)} and {labels.dtype} labels of {tuple(labels.shape)}"
        problem = f"evaluation needs images and a whole number for each, got images of {shapes}"
        raise TrainingError([problem])
    right = 0
    with evaluating(classifier) if isinstance(classifier, nn.Module) else nullcontext():
        parts = (torch.split(tensor, EVALUATION_BATCH) for tensor in (images, labels))
        for batch, wanted in zip(*parts, strict=True):
            logits = _classify(classifier, batch)
            TrainingError.raise_if_any(output_problems(logits, len(batch), labels, "labels"))
            right += int((logits.argmax(1) == wanted).sum())
    return right / len(images)


def _classify(classifier: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Run a classifier; name images that do not fit a module."""
    try:
        return classifier(images)
    except Exception as error:  # the model's code may raise anything
        if not isinstance(classifier, nn.Module):
            raise
        reason = str(error) or type(error).__name__
        problem = f"{images.dtype} images of shape {tuple(images.shape)} do not fit the model"
        raise TrainingError([f"{problem}: {reason}"]) from error

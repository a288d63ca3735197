"""A compact training loop for data sets in memory."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor, nn

from systolith.data import Augment, Dataset, MixingAugment
from systolith.foundation import no_progress
from systolith.prune import FilterSparsifier, Sparsifier, WeightSparsifier, describe_sparsifier
from systolith.trace import evaluating
from systolith.train.averaging import average_weights, take_average_
from systolith.train.batch_trainer import BatchTrainer
from systolith.train.batches import draw_batches
from systolith.train.checkpoint import TrainingState
from systolith.train.data_checks import count_outputs, fit_problems, output_problems
from systolith.train.errors import TrainingError
from systolith.train.objectives import CrossEntropy, TrainingObjective, describe_setting
from systolith.train.optimizers import Algorithm, make_optimizer
from systolith.train.precision import Precision
from systolith.train.progress import EpochCallback, EpochProgress
from systolith.train.teacher import Teacher

__all__ = ["evaluate", "fit"]

EVALUATION_BATCH = 512
REPORT_SECONDS = 1.0
CROSS_ENTROPY = CrossEntropy()
LARGEST_SEED = (1 << 64) - 1
"""Largest seed of PyTorch's generators."""


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
    of threads, even if training was interrupted and resumed from its checkpoint.

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
        If a number is out of range, or the data does not fit the model, or the teacher does not;
        all problems are listed.
    DivergedError
        If the loss is no longer finite.
    CheckpointError
        If the checkpoint is damaged or was written by other training.
    """
    problems = list(_problems(epochs, learning_rate, warmup, batch_size, weight_decay, data, seed))
    problems += _optional_problems(ema, clip_norm)
    if not problems and epochs:
        problems = list(fit_problems(model, data, batch_size, teacher))
    TrainingError.raise_if_any(problems)
    device = next(model.parameters()).device
    optimizer = make_optimizer(model, algorithm, learning_rate, weight_decay)
    generator = torch.Generator().manual_seed(seed)
    steps = -(-len(data.train_images) // batch_size)
    settings = {
        "phase": phase,
        "images": len(data.train_images),
        "epochs": epochs,
        "learning_rate": learning_rate,
        "warmup": warmup,
        "batch_size": batch_size,
        "weight_decay": weight_decay,
        "algorithm": algorithm.value,
        "precision": precision.value,
        "augment": describe_setting(augment),
        "objective": describe_setting(objective),
        "teacher": None if teacher is None else teacher.description,
        "ema": ema,
        "clip_norm": clip_norm,
        "sparsifier": None if sparsifier is None else describe_sparsifier(sparsifier),
        "seed": seed,
    }
    average = None if ema is None else average_weights(model, ema)
    state = TrainingState(
        model=model,
        optimizer=optimizer,
        sparsifier=sparsifier,
        average=average,
        generator=generator,
        device=device,
        settings=settings,
    )
    clock = _Clock()
    classes = count_outputs(model, data) if epochs else 0
    model.train()
    precision.arrange_(model)
    taught = teacher.prepare(data, augment, precision, device) if teacher and epochs else None
    trainer = BatchTrainer(
        model=model,
        optimizer=optimizer,
        sparsifier=sparsifier,
        average=average,
        objective=objective,
        teacher=teacher,
        taught=taught,
        precision=precision,
        learning_rate=learning_rate,
        warmup=warmup,
        clip_norm=clip_norm,
        phase=phase,
    )
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        first = state.load(checkpoint) if checkpoint and checkpoint.exists() else 0
        for epoch in range(first, epochs):
            loss_sum, right, seen = 0.0, 0, 0
            batches = draw_batches(data, batch_size, augment, generator, device, classes)
            for step, batch in enumerate(batches, 1):
                elapsed = (epoch * steps + step - 1) / (epochs * steps)
                loss, correct = trainer.take_step(batch, elapsed, epoch + 1)
                loss_sum += loss * len(batch.labels)
                right += correct
                seen += len(batch.labels)
                if clock.strikes(last=step == steps):
                    done = (epoch - first) * steps + step
                    progress(
                        EpochProgress.make(
                            phase,
                            epoch + 1,
                            epochs,
                            step=step,
                            steps=steps,
                            loss=loss_sum / seen,
                            accuracy=right / seen,
                            density=_density(sparsifier, model),
                            seconds_left=clock.seconds * ((epochs - first) * steps / done - 1),
                        )
                    )
            if checkpoint is not None:
                state.save(checkpoint, epoch + 1)
    if average is not None:
        take_average_(model, average)
    model.eval()


@dataclass(slots=True)
class _Clock:
    """Limits reports to about one per second."""

    start: float = field(default_factory=monotonic)
    struck: float = field(default_factory=monotonic)

    @property
    def seconds(self) -> float:
        return monotonic() - self.start

    def strikes(self, *, last: bool) -> bool:
        now = monotonic()
        if not last and now - self.struck < REPORT_SECONDS:
            return False
        self.struck = now
        return True


def _density(sparsifier: Sparsifier | None, model: nn.Module) -> float:
    match sparsifier:
        case WeightSparsifier():
            return sparsifier.masks(model).density
        case FilterSparsifier():
            return sparsifier.filters(model).density
        case _:
            return 1.0


@torch.no_grad()
def evaluate(
    classifier: nn.Module | Callable[[Tensor], Tensor], images: Tensor, labels: Tensor
) -> float:
    """Return the share of images that are classified correctly, 0..1.

    Parameters
    ----------
    classifier : nn.Module or callable
        Maps images to logits, shape (N, classes), of any type; a module runs in evaluation mode.
        For integers, pass ``IntegerModel(...).logits``. Ties go to the lower class.
    images : Tensor, shape (N, C, H, W)
    labels : Tensor of int64, shape (N,)

    Raises
    ------
    TrainingError
        If there are no images, numbers of images and labels differ, or a label has no output.
    """
    if not len(images) or len(images) != len(labels):
        raise TrainingError(
            [f"evaluation needs images and as many labels, got {len(images)} and {len(labels)}"]
        )
    mode = evaluating(classifier) if isinstance(classifier, nn.Module) else nullcontext()
    predictions: list[Tensor] = []
    with mode:
        for batch in torch.split(images, EVALUATION_BATCH):
            logits = classifier(batch)
            if not predictions:
                TrainingError.raise_if_any(output_problems(logits, labels, "labels"))
            predictions.append(logits.argmax(1))
    return float((torch.cat(predictions) == labels).double().mean())


def _problems(
    epochs: int,
    learning_rate: float,
    warmup: float,
    batch_size: int,
    weight_decay: float,
    data: Dataset,
    seed: int,
) -> Iterator[str]:
    if not len(data.train_images):
        yield f"data set '{data.name}' needs training images, got none"
    if not 0 <= seed <= LARGEST_SEED:
        yield f"seed must lie in 0..{LARGEST_SEED}, got {seed}"
    if epochs < 0:
        yield f"epochs must be at least 0, got {epochs}"
    if not 0 < learning_rate < inf:
        yield f"learning_rate must be positive, got {learning_rate}"
    if not 0 <= warmup < 1:
        yield f"warmup must lie in 0..1, below 1, got {warmup}"
    if batch_size < 1:
        yield f"batch_size must be at least 1, got {batch_size}"
    if not 0 <= weight_decay < inf:
        yield f"weight_decay must be at least 0, got {weight_decay}"


def _optional_problems(ema: float | None, clip_norm: float | None) -> Iterator[str]:
    if ema is not None and not 0 <= ema < 1:
        yield f"ema must lie in 0..1, below 1, got {ema}"
    if clip_norm is not None and not 0 < clip_norm < inf:
        yield f"clip_norm must be positive, got {clip_norm}"

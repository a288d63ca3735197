"""A compact training loop for data sets in memory."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import Enum
from math import cos, inf, isfinite, pi
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.data import Augment, Dataset
from systolith.foundation import ProblemsError, no_progress
from systolith.prune import FilterSparsifier, Sparsifier, WeightSparsifier
from systolith.trace import evaluating
from systolith.train.checkpoint import TrainingState
from systolith.train.data_checks import fit_problems, output_problems
from systolith.train.progress import EpochCallback, EpochProgress

__all__ = ["Algorithm", "DivergedError", "Precision", "TrainingError", "evaluate", "fit"]

EVALUATION_BATCH = 512
SGD_MOMENTUM = 0.9
REPORT_SECONDS = 1.0
LARGEST_SEED = (1 << 64) - 1
"""Largest seed of PyTorch's generators."""


class Algorithm(Enum):
    """Optimizers; the learning rate decays to zero along a cosine."""

    ADAMW = "adamw"
    SGD = "sgd"
    """With Nesterov momentum 0.9."""


class Precision(Enum):
    """Arithmetic of forward and backward; weights and their updates are always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    """Convolutions and matrix products in bfloat16, with pixels in channels-last order.

    Two to three times as fast on processors and GPUs with bfloat16 multipliers; slower on others.
    """


class TrainingError(ProblemsError, ValueError):
    """Arguments or data with which a model cannot be trained or evaluated."""


class DivergedError(ArithmeticError):
    """Training whose loss is no longer finite."""

    def __init__(self, phase: str, epoch: int, loss: float, learning_rate: float) -> None:
        super().__init__(
            f"training needs a finite loss, got {loss} in epoch {epoch} of phase '{phase}'; "
            f"try a learning_rate below {learning_rate}"
        )


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
    augment: Augment | None = None,
    sparsifier: Sparsifier | None = None,
    seed: int = 0,
    phase: str = "float",
    progress: EpochCallback = no_progress,
    checkpoint: Path | None = None,
) -> None:
    """Train a classifier in place on cross entropy, and leave it in evaluation mode.

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
    augment : Augment, optional
        Applied to each batch.
    sparsifier : Sparsifier, optional
        Prunes while training.
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
        If a number is out of range, or the data does not fit the model; all problems are listed.
    DivergedError
        If the loss is no longer finite.
    CheckpointError
        If the checkpoint is damaged or was written by other training.
    """
    problems = list(_problems(epochs, learning_rate, warmup, batch_size, weight_decay, data, seed))
    if not problems and epochs:
        problems = list(fit_problems(model, data, batch_size))
    TrainingError.raise_if_any(problems)
    extra = [] if sparsifier is None else sparsifier.parameters()
    optimizer = _optimizer(model, extra, algorithm, learning_rate, weight_decay)
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
        "seed": seed,
    }
    state = TrainingState(
        model=model,
        optimizer=optimizer,
        sparsifier=sparsifier,
        generator=generator,
        settings=settings,
    )
    clock = _Clock()
    model.train()
    if precision is Precision.BFLOAT16:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = state.load(checkpoint) if checkpoint and checkpoint.exists() else 0
        for epoch in range(first, epochs):
            loss_sum, right, seen = 0.0, 0, 0
            batches = _batches(model, data, batch_size, augment, generator, precision)
            for step, (images, labels) in enumerate(batches, 1):
                elapsed = (epoch * steps + step - 1) / (epochs * steps)
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * _annealing(elapsed, warmup)
                optimizer.zero_grad()
                loss, logits = _backward(model, images, labels, sparsifier, elapsed, precision)
                if not isfinite(loss):
                    raise DivergedError(phase, epoch + 1, loss, learning_rate)
                optimizer.step()
                loss_sum += loss * len(labels)
                right += int((logits.argmax(1) == labels).sum())
                seen += len(labels)
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


def _annealing(elapsed: float, warmup: float) -> float:
    """Learning rate relative to the highest: a linear rise, then half a cosine down to zero."""
    if elapsed < warmup:
        return elapsed / warmup
    return (1 + cos(pi * (elapsed - warmup) / (1 - warmup))) / 2


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


def _backward(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    sparsifier: Sparsifier | None,
    elapsed: float,
    precision: Precision,
) -> tuple[float, Tensor]:
    """Compute gradients of the parameters; return loss and logits."""
    with nullcontext() if sparsifier is None else sparsifier.step(model, elapsed):
        with torch.autocast(
            images.device.type, torch.bfloat16, enabled=precision is Precision.BFLOAT16
        ):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        torch.autograd.backward(loss)
    return float(loss.detach()), logits.detach()


def _batches(
    model: nn.Module,
    data: Dataset,
    batch_size: int,
    augment: Augment | None,
    generator: torch.Generator,
    precision: Precision,
) -> Iterator[tuple[Tensor, Tensor]]:
    device = next(model.parameters()).device
    last = precision is Precision.BFLOAT16
    memory_format = torch.channels_last if last else torch.contiguous_format
    order = torch.randperm(len(data.train_images), generator=generator)
    for indices in torch.split(order, batch_size):
        images = data.train_images[indices].to(device)
        if augment is not None:
            images = augment(images, generator)
        labels = data.train_labels[indices].to(device)
        yield images.contiguous(memory_format=memory_format), labels


def _optimizer(
    model: nn.Module,
    extra: list[nn.Parameter],
    algorithm: Algorithm,
    learning_rate: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": weight_decay},
        {"params": [*others, *extra], "weight_decay": 0.0},
    ]
    match algorithm:
        case Algorithm.ADAMW:
            return torch.optim.AdamW(groups, lr=learning_rate)
        case Algorithm.SGD:
            return torch.optim.SGD(groups, lr=learning_rate, momentum=SGD_MOMENTUM, nesterov=True)


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

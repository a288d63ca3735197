"""A compact training loop for data sets in memory."""

from collections.abc import Callable, Iterator
from enum import Enum
from math import cos, isfinite, pi
from time import monotonic

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.data import Augment, Dataset
from systolith.prune import Sparsifier
from systolith.train.progress import Progress, Report

__all__ = ["Algorithm", "DivergedError", "evaluate", "fit"]

EVALUATION_BATCH = 512
SGD_MOMENTUM = 0.9


class Algorithm(Enum):
    """Optimizers; both with cosine decay to zero."""

    ADAMW = "adamw"
    SGD = "sgd"
    """With Nesterov momentum 0.9."""


class DivergedError(ArithmeticError):
    """Training whose loss is no number any more."""

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
    batch_size: int = 64,
    weight_decay: float = 1e-3,
    algorithm: Algorithm = Algorithm.ADAMW,
    augment: Augment | None = None,
    sparsifier: Sparsifier | None = None,
    seed: int = 0,
    phase: str = "float",
    report: Report | None = None,
) -> None:
    """Train a classifier in place, on cross entropy; it is left in evaluation mode.

    The same arguments give the same weights, bit for bit, on the same machine with the same number
    of threads.

    Parameters
    ----------
    model : nn.Module
        Gives logits, shape (N, classes).
    data : Dataset
        Only its training part is read.
    epochs : int
        At least 0; 0 leaves the weights as they are.
    learning_rate : float
        At the start; falls to zero along half a cosine.
    batch_size : int
        The last batch of an epoch is smaller if the images do not divide.
    weight_decay : float
        For weights; biases, batch norms and quantizer steps have none.
    algorithm : Algorithm
        Optimizer.
    augment : Augment, optional
        Applied to each batch.
    sparsifier : Sparsifier, optional
        Prunes while training.
    seed : int
        Of the order of images, augmentation and dropout.
    phase : str
        Name in reports.
    report : callable, optional
        Called after each epoch with a :class:`Progress`.

    Raises
    ------
    ValueError
        If a number is out of range; all problems are listed.
    DivergedError
        If the loss is no number any more.
    """
    problems = list(_problems(epochs, learning_rate, batch_size, weight_decay))
    if problems:
        raise ValueError("; ".join(problems))
    extra = [] if sparsifier is None else sparsifier.parameters()
    optimizer = _optimizer(model, extra, algorithm, learning_rate, weight_decay)
    generator = torch.Generator().manual_seed(seed)
    steps = epochs * -(-len(data.train_images) // batch_size)
    done, start = 0, monotonic()
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch in range(epochs):
            loss_sum, right = 0.0, 0
            for images, labels in _batches(data, batch_size, augment, generator):
                progress = done / steps
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate * (1 + cos(pi * progress)) / 2
                optimizer.zero_grad()
                loss, logits = _backward(model, images, labels, sparsifier, progress)
                if not isfinite(loss):
                    raise DivergedError(phase, epoch + 1, loss, learning_rate)
                optimizer.step()
                done += 1
                loss_sum += loss * len(labels)
                right += int((logits.argmax(1) == labels).sum())
            if report is not None:
                report(
                    Progress(
                        phase=phase,
                        epoch=epoch + 1,
                        epochs=epochs,
                        loss=loss_sum / len(data.train_labels),
                        accuracy=right / len(data.train_labels),
                        seconds_left=(monotonic() - start) * (epochs / (epoch + 1) - 1),
                    )
                )
    model.eval()


@torch.no_grad()
def evaluate(
    classifier: nn.Module | Callable[[Tensor], Tensor], images: Tensor, labels: Tensor
) -> float:
    """Share of images that a classifier gets right, 0..1.

    Parameters
    ----------
    classifier : nn.Module or callable
        From images to logits, shape (N, classes), of any type; a module is put into evaluation
        mode meanwhile. For integers: ``IntegerModel(...).logits``. Equal logits count as the first.
    images : Tensor, shape (N, C, H, W)
    labels : Tensor of int64, shape (N,)
    """
    training = isinstance(classifier, nn.Module) and classifier.training
    if isinstance(classifier, nn.Module):
        classifier.eval()
    predictions = [classifier(batch).argmax(1) for batch in torch.split(images, EVALUATION_BATCH)]
    if isinstance(classifier, nn.Module):
        classifier.train(training)
    return float((torch.cat(predictions) == labels).double().mean())


def _backward(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    sparsifier: Sparsifier | None,
    progress: float,
) -> tuple[float, Tensor]:
    """Leave gradients on the parameters; return loss and logits."""
    if sparsifier is None:
        logits = model(images)
        loss = F.cross_entropy(logits, labels)
        torch.autograd.backward(loss)
    else:
        with sparsifier.step(model, progress):
            logits = model(images)
            loss = F.cross_entropy(logits, labels)
            torch.autograd.backward(loss)
    return float(loss.detach()), logits.detach()


def _batches(
    data: Dataset, batch_size: int, augment: Augment | None, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    order = torch.randperm(len(data.train_images), generator=generator)
    for indices in torch.split(order, batch_size):
        images = data.train_images[indices]
        if augment is not None:
            images = augment(images, generator)
        yield images, data.train_labels[indices]


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
    epochs: int, learning_rate: float, batch_size: int, weight_decay: float
) -> Iterator[str]:
    if epochs < 0:
        yield f"epochs must be at least 0, got {epochs}"
    if learning_rate <= 0:
        yield f"learning_rate must be positive, got {learning_rate}"
    if batch_size < 1:
        yield f"batch_size must be at least 1, got {batch_size}"
    if weight_decay < 0:
        yield f"weight_decay must be at least 0, got {weight_decay}"

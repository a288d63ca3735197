"""Evaluation: how well a network's outputs fit the targets."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from enum import Enum
from typing import NamedTuple

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from systolith.data import UNKNOWN_CLASS, Dataset, TargetKind
from systolith.foundation import kind_problems, show_value
from systolith.trace import evaluating
from systolith.train.errors import TrainingError
from systolith.train.targets import arrange_targets, output_problems, read_outputs

__all__ = ["Metric", "evaluate", "evaluate_data"]

EVALUATION_BATCH = 512


class Metric(Enum):
    """What tells how good a network is."""

    ACCURACY = "accuracy"
    """Share of images, or of pixels of known class, whose class is right; 0..1."""
    MEAN_IOU = "mean_iou"
    """Of pixels: intersection over union of each class that is given or predicted, mean over these
    classes; 0..1."""
    SQUARED_ERROR = "squared_error"
    """Mean over all values of all images; of an autoencoder, of the normal ones."""
    ABSOLUTE_ERROR = "absolute_error"
    """Likewise."""
    ROC_AUC = "roc_auc"
    """Of an autoencoder: probability that the squared error of an anomaly is above that of a normal
    image; 0..1. Known if there are both among the test images."""


@torch.no_grad()
def evaluate(
    model: nn.Module | Callable[[Tensor], Tensor],
    images: Tensor,
    targets: Tensor,
    kind: TargetKind = TargetKind.CLASSES,
) -> float:
    """Return the share of right classes, 0..1, or the mean squared error of values.

    Parameters
    ----------
    model : nn.Module or callable
        Maps images to logits, shape (N, classes), of any type, or to other outputs that fit the
        kind of the targets. A module runs in evaluation mode. For integers, pass
        ``IntegerModel(...).logits``, or ``real_outputs`` for values in real units. Ties go to the
        lower class.
    images : Tensor, shape (N, C, H, W)
    targets : Tensor
        One label for each image, integers of shape (N,), or what the kind says. For an autoencoder
        the images.
    kind : TargetKind

    Raises
    ------
    TrainingError
        If there are no images, they do not fit the module, there is not one target for each, or
        outputs do not fit the targets.
    """
    TrainingError.raise_if_any(_argument_problems(model, images, targets, kind))
    if kind.is_classes:
        right, known = 0, 0
        for outputs, wanted in _run(model, images, targets, kind):
            right += int((outputs.argmax(1) == wanted).sum())
            known += int((wanted != UNKNOWN_CLASS).sum())
        return right / known if known else 0.0
    errors = _measure_errors(model, images, targets, kind)
    return float(errors.square.mean())


@torch.no_grad()
def evaluate_data(
    model: nn.Module | Callable[[Tensor], Tensor], data: Dataset
) -> dict[Metric, float]:
    """Return all metrics of the test images that their kind of target has.

    Parameters
    ----------
    model : nn.Module or callable
        See :func:`evaluate`; values are compared in real units.
    data : Dataset

    Raises
    ------
    TrainingError
        As :func:`evaluate`.
    """
    kind, images, targets = data.target, data.test_images, data.test_targets
    TrainingError.raise_if_any(_argument_problems(model, images, targets, kind))
    match kind:
        case TargetKind.CLASSES:
            return {Metric.ACCURACY: evaluate(model, images, targets)}
        case TargetKind.PIXEL_CLASSES:
            confusion = sum(
                _count_confusions(outputs, wanted)
                for outputs, wanted in _run(model, images, targets, kind)
            )
            assert isinstance(confusion, Tensor)
            return _measure_confusion(confusion.double())
    errors = _measure_errors(model, images, targets, kind)
    labels = data.test_labels if kind is TargetKind.INPUT else data.test_labels[:0]
    normal = labels == 0 if len(labels) else torch.ones(len(images), dtype=torch.bool)
    metrics = {
        Metric.SQUARED_ERROR: float(errors.square[normal].mean()),
        Metric.ABSOLUTE_ERROR: float(errors.absolute[normal].mean()),
    }
    if len(labels) and 0 < int(labels.sum()) < len(labels):
        auc = roc_auc_score(labels.numpy(), errors.square.numpy())
        metrics[Metric.ROC_AUC] = float(auc)
    return metrics


class _Errors(NamedTuple):
    """Mean error of each image, float64 of shape (N,)."""

    square: Tensor
    absolute: Tensor


def _measure_errors(
    model: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor, kind: TargetKind
) -> _Errors:
    squares, absolutes = [], []
    for outputs, wanted in _run(model, images, targets, kind):
        apart = (outputs.double() - wanted.double()).flatten(1)
        squares.append(apart.square().mean(1))
        absolutes.append(apart.abs().mean(1))
    return _Errors(torch.cat(squares), torch.cat(absolutes))


def _count_confusions(outputs: Tensor, wanted: Tensor) -> Tensor:
    """Count pixels by class, rows, and by predicted class, columns."""
    classes, known = outputs.shape[1], wanted != UNKNOWN_CLASS
    pairs = wanted[known] * classes + outputs.argmax(1)[known]
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def _measure_confusion(confusion: Tensor) -> dict[Metric, float]:
    right = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - right
    seen = union > 0
    return {
        Metric.ACCURACY: float(right.sum() / confusion.sum().clamp(min=1)),
        Metric.MEAN_IOU: float((right[seen] / union[seen]).mean()) if seen.any() else 0.0,
    }


def _run(
    model: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor, kind: TargetKind
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield outputs and targets of one batch after the other."""
    what = "labels" if kind.is_classes else "targets"
    with evaluating(model) if isinstance(model, nn.Module) else nullcontext():
        parts = (torch.split(tensor, EVALUATION_BATCH) for tensor in (images, targets))
        for batch, wanted in zip(*parts, strict=True):
            outputs = read_outputs(model, _call(model, batch), kind)
            problems = output_problems(outputs, len(batch), targets, what, kind)
            TrainingError.raise_if_any(problems)
            yield outputs, arrange_targets(wanted, outputs, kind)


def _argument_problems(
    model: object, images: object, targets: object, kind: TargetKind
) -> Iterator[str]:
    tensors = (("images", images), ("labels", targets))
    wrong = [text for name, value in tensors for text in kind_problems(name, value, Tensor)]
    yield from wrong
    if isinstance(model, type) or not callable(model):
        yield f"classifier must be a Module or a function, got {show_value(model)}"
    if wrong or not isinstance(images, Tensor) or not isinstance(targets, Tensor):
        return
    shapes = f"{tuple(images.shape)} and {targets.dtype} labels of {tuple(targets.shape)}"
    fits = len(images) and targets.shape[:1] == images.shape[:1]
    if kind is TargetKind.CLASSES:
        if not fits or targets.ndim != 1 or targets.is_floating_point():
            yield f"evaluation needs images and a whole number for each, got images of {shapes}"
    elif not fits or targets.is_floating_point() is kind.is_classes:
        needed = "whole numbers" if kind.is_classes else "values"
        yield f"evaluation needs images and {needed} for each, got images of {shapes}"


def _call(model: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Run a model; name images that do not fit a module."""
    try:
        return model(images)
    except Exception as error:  # the model's code may raise anything
        if not isinstance(model, nn.Module):
            raise
        reason = str(error) or type(error).__name__
        problem = f"{images.dtype} images of shape {tuple(images.shape)} do not fit the model"
        raise TrainingError([f"{problem}: {reason}"]) from error

"""What training and evaluation make of targets of each kind."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from systolith.data import UNKNOWN_CLASS, Dataset, TargetKind
from systolith.quant import QuantizedModel
from systolith.quant.returned import SIGMOID
from systolith.train.objectives import CrossEntropy, TrainingObjective

__all__ = [
    "arrange_targets",
    "count_right",
    "default_objective",
    "end_problems",
    "name_targets",
    "output_problems",
    "read_outputs",
    "target_places",
    "target_problems",
]


def default_objective(kind: TargetKind) -> TrainingObjective:
    """Return the loss without any other choice: cross entropy, or the mean squared error."""
    return CrossEntropy() if kind.is_classes else nn.MSELoss()


def name_targets(kind: TargetKind, part: str) -> str:
    """Name the training or test targets in messages."""
    return f"{part} images" if kind is TargetKind.INPUT else f"{part} labels"


def target_places(data: Dataset) -> tuple[int, ...]:
    """Return (H, W) or (L,) of targets that belong to places of the image; empty for others.

    The images of an autoencoder are their own targets, whatever becomes of them.
    """
    match data.target:
        case TargetKind.PIXEL_CLASSES:
            return tuple(data.train_labels.shape[1:])
        case TargetKind.VALUES:
            return tuple(data.train_labels.shape[2:])
        case _:
            return ()


def read_outputs(model: object, outputs: Any, kind: TargetKind) -> Any:
    """Return a model's outputs as they are compared with targets.

    A quantized model leaves a sigmoid at its end to the host. Classes need none; values do.
    """
    if isinstance(model, QuantizedModel) and not kind.is_classes:
        return model.finish(outputs)
    return outputs


def end_problems(model: object, kind: TargetKind) -> Iterator[str]:
    """Yield why outputs of a quantized model are no values: it leaves out what only orders them."""
    quantized = model if isinstance(model, QuantizedModel) and not kind.is_classes else None
    if quantized is not None and quantized.notes and set(quantized.ends.values()) != {SIGMOID}:
        left = "; ".join(quantized.notes)
        yield f"targets of kind '{kind.value}' need what the model returns, but {left}"


def arrange_targets(targets: Tensor, outputs: Tensor, kind: TargetKind) -> Tensor:
    """Return values in the shape of outputs: flattened for a network that gives vectors."""
    return targets if kind.is_classes else targets.reshape(outputs.shape)


def count_right(outputs: Tensor, targets: Tensor) -> tuple[int, int]:
    """Count images, or pixels, whose class is right, and all whose class is known.

    Parameters
    ----------
    outputs : Tensor, shape (N, classes, ...)
        Ties go to the lower class.
    targets : Tensor of int64, shape (N, ...), or probabilities of the shape of outputs
    """
    classes = targets.argmax(1) if targets.is_floating_point() else targets
    known = int((classes != UNKNOWN_CLASS).sum())
    return int((outputs.argmax(1) == classes).sum()), known


def target_problems(data: Dataset) -> Iterator[str]:
    """Yield what is wrong with the training targets, whatever the model."""
    targets, name = data.train_labels, f"training labels of data set '{data.name}'"
    if data.target is TargetKind.VALUES and not targets.isfinite().all():
        yield f"{name} must be finite, got NaN or infinite values"
    if data.target is TargetKind.PIXEL_CLASSES and targets.numel():
        unknown = (targets == UNKNOWN_CLASS).flatten(1).all(1)
        if unknown.any():
            number = int(unknown.nonzero()[0])
            yield f"{name} must have a pixel of known class in each image, image {number} has none"


def output_problems(
    outputs: Any, images: int, targets: Tensor, what: str, kind: TargetKind = TargetKind.CLASSES
) -> Iterator[str]:
    """Yield each reason why outputs do not fit targets.

    Parameters
    ----------
    outputs : Any
        Outputs of a model for some images.
    images : int
        Images that the model was given.
    targets : Tensor
        Of all images.
    what : str
        Name of the targets in messages.
    kind : TargetKind
    """
    is_tensor = isinstance(outputs, Tensor)
    shape = tuple(outputs.shape) if is_tensor else type(outputs).__name__
    match kind:
        case TargetKind.CLASSES if not is_tensor or outputs.ndim != 2:
            after = "; flatten before returning" if is_tensor and outputs.ndim > 2 else ""
            yield f"a classifier must give logits of shape (N, classes), got {shape}{after}"
        case TargetKind.CLASSES if len(outputs) != images:
            yield (
                f"a classifier must give one row of logits per image, got {len(outputs)} for "
                f"{images}"
            )
        case TargetKind.PIXEL_CLASSES if (
            not is_tensor
            or outputs.ndim != targets.ndim + 1
            or (len(outputs), *outputs.shape[2:]) != (images, *targets.shape[1:])
        ):
            places = ", ".join(map(str, targets.shape[1:]))
            yield (
                f"{what} are classes of pixels, for which the model must give logits of shape "
                f"({images}, classes, {places}), got {shape}"
            )
        case TargetKind.VALUES | TargetKind.INPUT if not is_tensor or not _fits(
            tuple(outputs.shape), (images, *targets.shape[1:])
        ):
            wanted = (images, *targets.shape[1:])
            yield f"{what} need outputs of shape {wanted}, or flattened, got {shape}"
        case _ if kind.is_classes:
            yield from _class_problems(targets, outputs.shape[1], what)


def _fits(given: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether outputs have the shape of targets, or hold their values as vectors."""
    flat = (wanted[0], torch.Size(wanted[1:]).numel())
    return given == wanted or given == flat


def _class_problems(targets: Tensor, classes: int, what: str) -> Iterator[str]:
    known = targets[targets != UNKNOWN_CLASS] if targets.ndim > 1 else targets
    if not len(known):
        return
    least, most = int(known.min()), int(known.max())
    if not 0 <= least <= most < classes:
        hint = "; classes count from 0" if (least, most) == (1, classes) else ""
        yield (
            f"{what} must lie in 0..{classes - 1}, as the model has {classes} outputs, "
            f"got {least}..{most}{hint}"
        )

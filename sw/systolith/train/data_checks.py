"""Checks before training that data fits a model: outputs, labels, values, batch sizes."""

from collections.abc import Iterator
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from systolith.data import Dataset
from systolith.trace import evaluating
from systolith.train.teacher import Teacher

__all__ = ["count_outputs", "fit_problems", "output_problems"]

PROBED_IMAGES = 2


def fit_problems(
    model: nn.Module, data: Dataset, batch_size: int, teacher: Teacher | None = None
) -> Iterator[str]:
    """Yield each reason why a classifier cannot be trained on a data set.

    The model and the teacher run once, in evaluation mode, on two images.

    Parameters
    ----------
    model : nn.Module
        Hooks run.
    data : Dataset
        Only its training part is read; at least one image.
    batch_size : int
        The last batch of an epoch has the remaining images.
    teacher : Teacher, optional
        Must give as many logits as the model.
    """
    images, labels = data.train_images, data.train_labels
    if not images.isfinite().all():
        yield f"training images of data set '{data.name}' must be finite"
    device = next((parameter.device for parameter in model.parameters()), images.device)
    single: list[str] = []

    def look(name: str, channels: int, given: Tensor) -> None:
        if given.numel() == len(given) * channels:
            single.append(name)

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if isinstance(module, _BatchNorm) and module.track_running_stats:

                def before(m: nn.Module, given: tuple[Tensor, ...], name: str = name) -> None:
                    assert isinstance(m, _BatchNorm)
                    look(name, m.num_features, given[0])

                hooks.enter_context(module.register_forward_pre_hook(before))
        try:
            with evaluating(model):
                outputs = model(images[:PROBED_IMAGES].to(device))
        except Exception as error:  # the model's code may raise anything
            yield (
                f"images of shape {tuple(images.shape)} do not fit the model: "
                f"{str(error) or type(error).__name__}"
            )
            return
    wrong = list(output_problems(outputs, labels, f"training labels of data set '{data.name}'"))
    yield from wrong
    if teacher is not None and not wrong:
        yield from teacher.problems(images[:PROBED_IMAGES].to(device), outputs.shape[1])
    left = len(images) % batch_size or batch_size
    if left == 1 and single:
        yield (
            f"batch_size {batch_size} leaves a last batch of 1 image of {len(images)}, whose "
            f"{', '.join(single)} would be the mean of one value each; give another batch_size"
        )


def count_outputs(model: nn.Module, data: Dataset) -> int:
    """Return the number of classes of a model that :func:`fit_problems` accepts."""
    device = next(model.parameters()).device
    with evaluating(model):
        outputs = model(data.train_images[:PROBED_IMAGES].to(device))
    return int(outputs.shape[1])


def output_problems(outputs: Tensor, labels: Tensor, what: str) -> Iterator[str]:
    """Yield each reason why outputs are no logits for labels.

    Parameters
    ----------
    outputs : Tensor
        Outputs of a model; they must have shape (N, classes).
    labels : Tensor of int64, shape (N,)
    what : str
        Name of the labels in messages.
    """
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2:
        shape = (
            tuple(outputs.shape) if isinstance(outputs, torch.Tensor) else type(outputs).__name__
        )
        yield f"a classifier must give logits of shape (N, classes), got {shape}"
    elif len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < outputs.shape[1]:
        yield (
            f"{what} must lie in 0..{outputs.shape[1] - 1}, as the model has {outputs.shape[1]} "
            f"outputs, got {int(labels.min())}..{int(labels.max())}"
        )

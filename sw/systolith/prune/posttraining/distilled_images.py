"""Calibration images made from a network alone, where there are no images."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from systolith.foundation import (
    Progress,
    ProgressCallback,
    is_whole,
    kind_problems,
    no_progress,
    show_value,
)
from systolith.prune.errors import PruneError
from systolith.prune.posttraining.batch_norms import SMALLEST, tracked_batch_norms
from systolith.trace import evaluating

__all__ = ["distill_images"]

Moments = tuple[Tensor, Tensor]
"""Mean and variance, one of each per channel."""


def distill_images(
    model: nn.Module,
    shape: Sequence[int],
    count: int,
    *,
    steps: int = 200,
    learning_rate: float = 0.1,
    batch_size: int = 64,
    mean: float = 0.0,
    deviation: float = 1.0,
    seed: int = 0,
    progress: ProgressCallback = no_progress,
) -> Tensor:
    """Make images whose statistics are those that the batch norms have stored.

    Images start as noise, and Adam changes them until the inputs of all batch norms, and the images
    themselves, have the mean and the variance that they should have ("distilled data" of ZeroQ, Cai
    et al., CVPR 2020, section 3.1). They calibrate and reconstruct pruned and quantized weights
    where no training image is at hand; a few hundred true images are better.

    Parameters
    ----------
    model : nn.Module
        Trained, with batch norms that keep statistics. Not changed.
    shape : sequence of int
        Of one image, (C, H, W).
    count : int
        Number of images, at least 2.
    steps : int
        Of Adam, for each batch; each step is a pass forward and one back.
    learning_rate : float
        Of Adam, in deviations of the images; it falls to 0 along a cosine.
    batch_size : int
        Images that are changed together, at least 2. Without a remainder: up to twice as many.
    mean, deviation : float
        Of the images that the model was trained on, as it reads them: about 0 and 1 for normalized
        ones.
    seed : int
    progress : callable, optional
        Called after each step.

    Returns
    -------
    Tensor of float32, shape (count, *shape)

    Raises
    ------
    PruneError
        If the model has no batch norm that keeps statistics, or an argument is out of range.
    """
    PruneError.raise_if_any(kind_problems("model", model, nn.Module))
    norms = tracked_batch_norms(model)
    PruneError.raise_if_any(
        [
            *_number_problems(shape=shape, count=count, steps=steps, batch_size=batch_size),
            *([] if norms else ["model must have batch norms that keep statistics, got none"]),
            *([] if deviation > 0 else [f"deviation must be above 0, got {deviation}"]),
            *([] if learning_rate > 0 else [f"learning_rate must be above 0, got {learning_rate}"]),
        ]
    )
    weight = next(iter(norms.values())).get_buffer("running_mean")
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, *shape, generator=generator).to(weight)
    batches = torch.tensor_split(noise, max(1, count // batch_size))
    total, images = len(batches) * steps, []
    stored = _stored(norms)
    with evaluating(model), torch.enable_grad(), _reading_inputs(norms) as inputs:
        for number, start in enumerate(batches):
            values = start.clone().requires_grad_()
            optimizer = torch.optim.Adam([values], lr=learning_rate)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
            for step in range(steps):
                model(mean + deviation * values)
                loss = _distance({"": values, **inputs}, stored)
                (values.grad,) = torch.autograd.grad(loss, values)
                optimizer.step()
                schedule.step()
                done = number * steps + step + 1
                text = f"statistics differ by {loss.item():.3g}"
                progress(Progress(task="images", done=done, total=total, text=text))
            images.append(mean + deviation * values.detach())
    return torch.cat(images).float().cpu()


def _number_problems(*, shape: Sequence[int], **numbers: int) -> list[str]:
    """Name the numbers that are no whole numbers, or too small."""
    least = {"count": 2, "batch_size": 2, "steps": 1}
    problems = [
        f"{name} must be a whole number of at least {least[name]}, got {show_value(value)}"
        for name, value in numbers.items()
        if not is_whole(value) or value < least[name]
    ]
    if not shape or not all(is_whole(length) and length > 0 for length in shape):
        problems.append(f"shape must be lengths of at least 1, got {shape}")
    return problems


def _stored(norms: Mapping[str, _BatchNorm]) -> dict[str, Moments]:
    """Statistics by name of the batch norm; those of the images have an empty name."""
    first = next(iter(norms.values())).get_buffer("running_mean")
    return {
        "": (first.new_zeros(()), first.new_ones(())),
        **{
            name: (norm.get_buffer("running_mean"), norm.get_buffer("running_var"))
            for name, norm in norms.items()
        },
    }


@contextmanager
def _reading_inputs(norms: Mapping[str, _BatchNorm]) -> Iterator[dict[str, Tensor]]:
    """Keep the input of each batch norm from the last time that the model ran."""
    inputs: dict[str, Tensor] = {}

    def keep(name: str) -> torch.utils.hooks.RemovableHandle:
        def read(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            inputs[name] = arguments[0]

        return norms[name].register_forward_pre_hook(read)

    handles = [keep(name) for name in norms]
    try:
        yield inputs
    finally:
        for handle in handles:
            handle.remove()


def _distance(values: Mapping[str, Tensor], wanted: Mapping[str, Moments]) -> Tensor:
    """Compare means and deviations, relative to the wanted deviation; mean over batch norms."""
    terms = []
    for name, value in values.items():
        mean, variance = wanted[name]
        axes = [axis for axis in range(value.ndim) if axis != 1]
        deviation = variance.clamp_min(SMALLEST).sqrt()
        means = (value.mean(axes) - mean) / deviation
        deviations = value.var(axes, correction=0).clamp_min(SMALLEST).sqrt() / deviation - 1
        terms.append((means.square() + deviations.square()).mean())
    return torch.stack(terms).mean()

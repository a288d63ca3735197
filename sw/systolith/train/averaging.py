"""Exponential moving average of weights over training."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["average_weights", "take_average_"]


def average_weights(model: nn.Module, decay: float) -> AveragedModel:
    """Make the moving average of a model's parameters and buffers.

    After step 0, the average is the weights. After step n, it is
    ``average = d * average + (1 - d) * weights`` with ``d = min(decay, (1 + n) / (10 + n))``: short
    training is not dominated by its start. Integers, such as counts of batches, are the current
    ones.

    Parameters
    ----------
    model : nn.Module
        Copied; call ``update_parameters(model)`` after each step.
    decay : float
        In 0..1; about ``1 / (1 - decay)`` last steps count.

    Notes
    -----
    Polyak, Juditsky: Acceleration of stochastic approximation by averaging (SIAM Journal on
    Control and Optimization, 1992) average uniformly. The rise of d is that of TensorFlow's
    ``ExponentialMovingAverage``. Batch norms' running statistics are averaged like weights.
    """

    @torch.no_grad()
    def update(averages: Sequence[Tensor], values: Sequence[Tensor], steps: Tensor | int) -> None:
        share = 1 - min(decay, (1 + int(steps)) / (10 + int(steps)))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, share)
            else:
                average.copy_(value)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def take_average_(model: nn.Module, average: AveragedModel) -> None:
    """Replace the weights of a model by their average."""
    model.load_state_dict(average.module.state_dict())

"""Optimizers, and the learning rate over training."""

from enum import Enum
from math import cos, pi

import torch
from torch import nn

__all__ = ["Algorithm", "anneal", "make_optimizer"]

SGD_MOMENTUM = 0.9


class Algorithm(Enum):
    """Optimizers; the learning rate decays to zero along a cosine."""

    ADAMW = "adamw"
    SGD = "sgd"
    """With Nesterov momentum 0.9."""


def make_optimizer(
    model: nn.Module,
    algorithm: Algorithm,
    learning_rate: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """Make the optimizer of a model's trained parameters.

    Weight decay applies to weights, not to biases, batch norms and quantizer steps.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    match algorithm:
        case Algorithm.ADAMW:
            return torch.optim.AdamW(groups, lr=learning_rate)
        case Algorithm.SGD:
            return torch.optim.SGD(groups, lr=learning_rate, momentum=SGD_MOMENTUM, nesterov=True)


def anneal(elapsed: float, warmup: float) -> float:
    """Return the learning rate relative to the highest: a linear rise, then half a cosine to zero.

    Parameters
    ----------
    elapsed : float
        Share of training that is over, 0..1.
    warmup : float
        Share of training in which the rate rises, 0..1.
    """
    if elapsed < warmup:
        return elapsed / warmup
    return (1 + cos(pi * (elapsed - warmup) / (1 - warmup))) / 2

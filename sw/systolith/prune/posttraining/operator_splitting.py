"""Masks by operator splitting: weights near the layer's outputs, and a copy inside the pattern."""

import torch
from torch import Tensor

from systolith.network import Pattern, WeightShape
from systolith.prune.topk import topk_mask

__all__ = ["find_mask_by_splitting"]

STEPS = 150
FIRST_PENALTY, GROWTH = 0.03, 1.1
"""Penalty of the difference between both copies, and its growth in every third step."""
INTERVAL = 3


def find_mask_by_splitting(
    weight: Tensor, gram: Tensor, pattern: Pattern, shape: WeightShape
) -> Tensor:
    """Choose the mask by alternating between least squares and the pattern.

    Inputs are scaled so that H has the diagonal 1. With D a copy of W inside the pattern and V
    the multipliers of ``W = D``, a step is

    ``W = (W0 H - V + p D) (H + p I)^-1``, ``D = best of the pattern for W + V / p``,
    ``V += p (W - D)``

    and the penalty p grows until W and D agree.

    Parameters
    ----------
    weight : Tensor of float64, shape (groups, rows, d)
        W0.
    gram : Tensor of float64, shape (groups, d, d)
        H, positive definite.
    pattern : Pattern
        Fits the shape.
    shape : WeightShape
        Of the layer's weights: groups * rows filters, d weights each.

    Returns
    -------
    Tensor of bool, shape (groups, rows, d)
        Ties as in :func:`systolith.prune.topk_mask`.

    Notes
    -----
    Meng, Behdin, Wang, Mazumder: ALPS: Improved optimization for highly sparse one-shot pruning for
    large language models (NeurIPS 2024), algorithm 1.

    **Deviation:** all patterns here instead of unstructured and N:M; a fixed number of steps.
    """
    scale = gram.diagonal(dim1=-2, dim2=-1).sqrt()
    levels, vectors = torch.linalg.eigh(gram / scale[:, :, None] / scale[:, None, :])
    wanted = weight * scale[:, None, :]
    aim = ((wanted @ vectors) * levels[:, None, :]) @ vectors.mT
    mask = _best(wanted, pattern, shape)
    inside, multiplier, penalty = wanted * mask, torch.zeros_like(wanted), FIRST_PENALTY
    for step in range(1, STEPS + 1):
        right = (aim - multiplier + penalty * inside) @ vectors
        free = (right / (levels[:, None, :] + penalty)) @ vectors.mT
        shifted = free + multiplier / penalty
        mask = _best(shifted, pattern, shape)
        inside = shifted * mask
        multiplier += penalty * (free - inside)
        if step % INTERVAL == 0:
            penalty *= GROWTH
    return mask


def _best(weight: Tensor, pattern: Pattern, shape: WeightShape) -> Tensor:
    return topk_mask(weight.square().reshape(shape), pattern).reshape(weight.shape)

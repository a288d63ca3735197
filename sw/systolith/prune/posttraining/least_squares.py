"""Least squares with zeros: the best values of kept weights, and the error that is left.

The error of weights W against W0 on inputs with second moments H is ``tr((W - W0) H (W - W0)^T)``:
the mean squared difference of the outputs, added up over filters. Filters of a convolution group
share a matrix H, so weights have shape (groups, rows, d) and moments (groups, d, d).
"""

from math import inf

import torch
from torch import Tensor

from systolith.prune.errors import PruneError

__all__ = ["check_damping", "damp", "output_errors", "solve_kept"]

MOST_ELEMENTS = 2**25
"""Elements of the matrices that are solved at once: 256 MiB in float64."""


def check_damping(damping: float) -> None:
    """Raise PruneError unless damping is positive and finite."""
    if not 0 < damping < inf:
        raise PruneError([f"reconstruction needs damping above 0 and finite, got {damping}"])


def damp(gram: Tensor, damping: float) -> Tensor:
    """Add `damping` times the mean of the diagonal to the diagonal, so that a solution exists.

    Inputs that are always zero give the identity: weights then count by their squares.
    """
    level = gram.diagonal(dim1=-2, dim2=-1).mean(-1)
    added = torch.where(level > 0, damping * level, 1.0)
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return gram + added[:, None, None] * eye


def output_errors(change: Tensor, gram: Tensor) -> Tensor:
    """Mean squared change of each filter's output.

    Parameters
    ----------
    change : Tensor of float64, shape (groups, rows, d)
    gram : Tensor of float64, shape (groups, d, d)

    Returns
    -------
    Tensor of float64, shape (groups, rows)
    """
    return ((change @ gram) * change).sum(-1)


def solve_kept(wanted: Tensor, gram: Tensor, mask: Tensor) -> Tensor:
    """Find the weights with given zeros that minimize the error against `wanted`.

    Parameters
    ----------
    wanted : Tensor of float64, shape (groups, rows, d)
    gram : Tensor of float64, shape (groups, d, d)
        Positive definite.
    mask : Tensor of bool, shape (groups, rows, d)
        True keeps. Each row keeps the same number, at least 1.

    Returns
    -------
    Tensor of float64, shape (groups, rows, d)
    """
    groups, rows, inputs = wanted.shape
    kept = mask.nonzero()[:, 2].reshape(groups, rows, -1)
    if kept.shape[-1] == inputs:
        return wanted.clone()
    aims = (wanted @ gram).gather(2, kept)
    solution = torch.zeros_like(wanted)
    count = max(1, MOST_ELEMENTS // kept.shape[-1] ** 2)
    for group in range(groups):
        for first in range(0, rows, count):
            index = kept[group, first : first + count]
            aim = aims[group, first : first + count, :, None]
            matrix = gram[group][index[:, :, None], index[:, None, :]]
            values = torch.cholesky_solve(aim, torch.linalg.cholesky(matrix))[..., 0]
            solution[group, first : first + count].scatter_(1, index, values)
    return solution

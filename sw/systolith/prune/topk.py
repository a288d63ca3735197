"""The best mask of a pattern, in PyTorch: same result as :meth:`Pattern.best_mask`."""

import torch
from torch import Tensor

from systolith.network import Dense, Granularity, KOutOfN, Pattern, PerNeuron, WeightShape
from systolith.prune.errors import PruneError

__all__ = ["topk_mask", "weight_shape"]

LARGEST = 1e300


def topk_mask(score: Tensor, pattern: Pattern) -> Tensor:
    """Find the conforming mask with the highest total score.

    Parameters
    ----------
    score : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
        Higher is kept; scores that share a decision are added in float64, infinite ones as 1e300.
        Ties go to the lower index (channel, for groups; flattened, per neuron).
    pattern : Pattern
        Which masks are allowed.

    Returns
    -------
    Tensor of bool, shape of score, on the same device
        True keeps.

    Raises
    ------
    PruneError
        If the pattern cannot be laid over the shape, or a score is not a number.

    Examples
    --------
    >>> from systolith.network import KOutOfN
    >>> score = torch.tensor([[3.0, 1.0, 2.0, 2.0]])
    >>> topk_mask(score, Pattern(select=KOutOfN(1, 2)))
    tensor([[ True, False,  True, False]])
    """
    shape = weight_shape(score)
    problems = list(pattern.problems(shape))
    if score.isnan().any():
        problems.append("scores must be numbers, got nan")
    if problems:
        raise PruneError(problems)
    read = torch.from_numpy(pattern.tap_mask(shape)).to(score.device).expand(shape)
    select = pattern.select
    if isinstance(select, Dense):
        return read.clone().reshape(score.shape)
    grouped = _group(score.detach().double().reshape(shape), read, select)
    order = torch.argsort(grouped, dim=-1, descending=True, stable=True)[..., : select.k]
    chosen = torch.zeros_like(grouped, dtype=torch.bool).scatter_(-1, order, True)
    return (_ungroup(chosen, select, shape) & read).reshape(score.shape)


def weight_shape(weight: Tensor) -> WeightShape:
    """See weights as (F, C, Kh, Kw); those of a linear layer are (O, I, 1, 1).

    Raises
    ------
    PruneError
        If the tensor has neither 2 nor 4 axes.
    """
    if weight.ndim not in (2, 4):
        raise PruneError(
            [f"weights and masks need shape (F, C, Kh, Kw) or (O, I), got {tuple(weight.shape)}"]
        )
    filters, channels, kh, kw = (*weight.shape, 1, 1)[:4]
    return filters, channels, kh, kw


def _group(score: Tensor, read: Tensor, select: KOutOfN | PerNeuron) -> Tensor:
    """Bring competing scores to the last axis; those of one decision are added."""
    filters, channels, kh, kw = score.shape
    teams = filters // select.shared_by
    kernel = isinstance(select, KOutOfN) and select.granularity is Granularity.KERNEL
    # Finite scores keep inf - inf out, and let what is not read lose against everything.
    score = score.clamp(-LARGEST, LARGEST).masked_fill(~read, 0.0 if kernel else -torch.inf)
    score = score.reshape(teams, select.shared_by, channels, kh, kw).sum(dim=1)
    if isinstance(select, PerNeuron):
        return score.reshape(teams, -1)
    groups = score.reshape(teams, channels // select.n, select.n, kh * kw)
    return groups.sum(dim=3) if kernel else groups.transpose(2, 3)


def _ungroup(chosen: Tensor, select: KOutOfN | PerNeuron, shape: WeightShape) -> Tensor:
    """Undo :func:`_group` for a mask."""
    _, channels, kh, kw = shape
    if isinstance(select, KOutOfN) and select.granularity is Granularity.KERNEL:
        mask = chosen.reshape(-1, channels, 1, 1).expand(-1, channels, kh, kw)
    elif isinstance(select, KOutOfN):
        mask = chosen.transpose(2, 3).reshape(-1, channels, kh, kw)
    else:
        mask = chosen.reshape(-1, channels, kh, kw)
    return mask.repeat_interleave(select.shared_by, dim=0)

"""The best mask of a pattern, in PyTorch: same result as :meth:`Pattern.best_mask`."""

import torch
from torch import Tensor

from systolith.network import Dense, KOutOfN, Pattern, PerNeuron
from systolith.prune.decisions import (
    group_decisions,
    is_by_kernel,
    ungroup_decisions,
    weight_shape,
)
from systolith.prune.errors import PruneError

__all__ = ["topk_mask"]

LARGEST = 1e300
SMALL_GROUP = 16


def topk_mask(score: Tensor, pattern: Pattern) -> Tensor:
    """Find the conforming mask with the highest total score.

    Parameters
    ----------
    score : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
        Higher scores are kept. Scores of one decision are added in float64, infinite ones as 1e300.
        Ties go to the lower index: the channel in a group, the flattened index per neuron.
    pattern : Pattern
        Defines the allowed masks.

    Returns
    -------
    Tensor of bool, shape of score, on the same device
        True keeps.

    Raises
    ------
    PruneError
        If weights of this shape cannot have the pattern, or a score is not a number.

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
    grouped = group_decisions(_comparable(score.detach().reshape(shape), read, select), select)
    chosen = ungroup_decisions(_keep_largest(grouped, select.k), select, shape)
    return (chosen & read).reshape(score.shape)


def _comparable(score: Tensor, read: Tensor, select: KOutOfN | PerNeuron) -> Tensor:
    """Make dropped taps lose. Infinite scores become finite, so that sums do not cancel to nan."""
    kernel = is_by_kernel(select)
    if kernel or select.shared_by > 1:
        score = score.double().clamp(-LARGEST, LARGEST)
    if bool(read.all()):
        return score
    score = score.clamp_min(torch.finfo(score.dtype).min)
    return score.masked_fill(~read, 0.0 if kernel else -torch.inf)


def _keep_largest(grouped: Tensor, k: int) -> Tensor:
    """Mark the k largest of the last axis; ties go to the lower index."""
    n = grouped.shape[-1]
    if n > SMALL_GROUP:
        least = torch.kthvalue(grouped, n - k + 1, dim=-1, keepdim=True).values
        above, level = grouped > least, grouped == least
        left = k - above.sum(-1, keepdim=True)
        return above | (level & (level.cumsum(-1) <= left))
    # Count the competitors ahead of each: for few of them, far faster than sorting.
    competitors = grouped.movedim(-1, 0).contiguous()
    ahead = torch.zeros(competitors.shape, dtype=torch.int8, device=grouped.device)
    for i in range(1, n):
        behind = competitors[i] > competitors[:i]
        ahead[:i] += behind
        ahead[i] += i - behind.sum(0, dtype=torch.int8)
    return (ahead < k).movedim(0, -1)

"""The best mask of a pattern, in PyTorch: same result as :meth:`Pattern.best_mask`."""

import torch
from torch import Tensor

from systolith.network import Dense, Granularity, KOutOfN, Pattern, PerNeuron, WeightShape
from systolith.prune.errors import PruneError

__all__ = ["group_decisions", "topk_mask", "ungroup_decisions", "weight_shape"]

LARGEST = 1e300
SMALL_GROUP = 16


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
    grouped = group_decisions(_comparable(score.detach().reshape(shape), read, select), select)
    chosen = ungroup_decisions(_keep_largest(grouped, select.k), select, shape)
    return (chosen & read).reshape(score.shape)


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


def group_decisions(values: Tensor, select: KOutOfN | PerNeuron) -> Tensor:
    """Bring values of weights that compete to the last axis; those of one decision are added.

    Parameters
    ----------
    values : Tensor, shape (F, C, Kh, Kw)

    Returns
    -------
    Tensor, shape (..., n)
        n is the size of a group; the reduction C*Kh*Kw, per neuron.
    """
    filters, channels, kh, kw = values.shape
    teams = filters // select.shared_by
    if select.shared_by > 1:
        values = values.reshape(teams, select.shared_by, channels, kh, kw).sum(dim=1)
    if isinstance(select, PerNeuron):
        return values.reshape(teams, -1)
    groups = values.reshape(teams, channels // select.n, select.n, kh * kw)
    return groups.sum(dim=3) if _by_kernel(select) else groups.transpose(2, 3)


def ungroup_decisions(chosen: Tensor, select: KOutOfN | PerNeuron, shape: WeightShape) -> Tensor:
    """Undo :func:`group_decisions`: give every weight, (F, C, Kh, Kw), the value of its decision.

    Transposed back as it was brought there, for with F != C a mere reshape breaks the pattern.
    """
    _, channels, kh, kw = shape
    if isinstance(select, PerNeuron):
        mask = chosen.reshape(-1, channels, kh, kw)
    elif _by_kernel(select):
        mask = chosen.reshape(-1, channels, 1, 1).expand(-1, channels, kh, kw)
    else:
        mask = chosen.transpose(2, 3).reshape(-1, channels, kh, kw)
    return mask.repeat_interleave(select.shared_by, dim=0) if select.shared_by > 1 else mask


def _by_kernel(select: KOutOfN | PerNeuron) -> bool:
    return isinstance(select, KOutOfN) and select.granularity is Granularity.KERNEL


def _comparable(score: Tensor, read: Tensor, select: KOutOfN | PerNeuron) -> Tensor:
    """Make what is not read lose; sums in float64, with infinite scores finite lest they cancel."""
    kernel = _by_kernel(select)
    if kernel or select.shared_by > 1:
        score = score.double().clamp(-LARGEST, LARGEST)
    if bool(read.all()):
        return score
    score = score.clamp_min(torch.finfo(score.dtype).min)
    return score.masked_fill(~read, 0.0 if kernel else -torch.inf)


def _keep_largest(grouped: Tensor, k: int) -> Tensor:
    """Mark the k largest of the last axis, of equal ones those that come first."""
    n = grouped.shape[-1]
    if n > SMALL_GROUP:
        least = torch.kthvalue(grouped, n - k + 1, dim=-1, keepdim=True).values
        above, level = grouped > least, grouped == least
        left = k - above.sum(-1, keepdim=True)
        return above | (level & (level.cumsum(-1) <= left))
    # Count who is ahead: for few competitors far faster than sorting.
    competitors = grouped.movedim(-1, 0).contiguous()
    ahead = torch.zeros(competitors.shape, dtype=torch.int8, device=grouped.device)
    for i in range(1, n):
        behind = competitors[i] > competitors[:i]
        ahead[:i] += behind
        ahead[i] += i - behind.sum(0, dtype=torch.int8)
    return (ahead < k).movedim(0, -1)

"""The decisions of a pattern on one layer: rows of n that compete, of which k are kept."""

import torch
from torch import Tensor

from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron, WeightShape
from systolith.prune.errors import PruneError

__all__ = ["Decisions", "group_decisions", "is_by_kernel", "ungroup_decisions", "weight_shape"]


class Decisions:
    """Translates between weights and decisions: those that are shared or whole kernels are one.

    Parameters
    ----------
    pattern : Pattern
        It fits the weight.
    select : KOutOfN or PerNeuron
        Its selection.
    weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
        Only shape and device matter.

    Attributes
    ----------
    k : int
        Kept of each row.
    read : Tensor of bool, shape (J, n)
        False for decisions on taps that :class:`Strided` drops. All rows have equally many True, at
        least k, or none at all.
    """

    def __init__(self, pattern: Pattern, select: KOutOfN | PerNeuron, weight: Tensor) -> None:
        self.k = select.k
        self._select, self._shape, self._size = select, weight_shape(weight), weight.shape
        self._taps = torch.from_numpy(pattern.tap_mask(self._shape)).to(weight.device)
        grouped = group_decisions(self._taps.expand(self._shape).float(), select)
        self._grouped = grouped.shape
        self.read = grouped.reshape(-1, grouped.shape[-1]) > 0

    def rows(self, values: Tensor) -> Tensor:
        """Add up what the weights that are read say on each decision, (J, n)."""
        values = values.reshape(self._shape) * self._taps
        return group_decisions(values, self._select).reshape(self.read.shape)

    def mask(self, chosen: Tensor) -> Tensor:
        """Mask in the shape of the weight, of decisions, bool (J, n); what is not read is False."""
        mask = ungroup_decisions(chosen.reshape(self._grouped), self._select, self._shape)
        return (mask & self._taps).reshape(self._size)


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
    return groups.sum(dim=3) if is_by_kernel(select) else groups.transpose(2, 3)


def ungroup_decisions(chosen: Tensor, select: KOutOfN | PerNeuron, shape: WeightShape) -> Tensor:
    """Undo :func:`group_decisions`: give every weight, (F, C, Kh, Kw), the value of its decision.

    Transposed back as it was brought there, for with F != C a mere reshape breaks the pattern.
    """
    _, channels, kh, kw = shape
    if isinstance(select, PerNeuron):
        mask = chosen.reshape(-1, channels, kh, kw)
    elif is_by_kernel(select):
        mask = chosen.reshape(-1, channels, 1, 1).expand(-1, channels, kh, kw)
    else:
        mask = chosen.transpose(2, 3).reshape(-1, channels, kh, kw)
    return mask.repeat_interleave(select.shared_by, dim=0) if select.shared_by > 1 else mask


def is_by_kernel(select: KOutOfN | PerNeuron) -> bool:
    """Whether whole kernels are kept or pruned."""
    return isinstance(select, KOutOfN) and select.granularity is Granularity.KERNEL

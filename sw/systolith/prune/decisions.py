"""The decisions of a pattern on one layer: each row keeps k of n competitors."""

import torch
from torch import Tensor

from systolith.network import Granularity, KOutOfN, Pattern, PerNeuron, WeightShape
from systolith.prune.errors import PruneError

__all__ = ["Decisions", "group_decisions", "is_by_kernel", "ungroup_decisions", "weight_shape"]


class Decisions:
    """Translates between weights and decisions.

    Weights that are kept or pruned together, as they are shared or form a kernel, are one decision.

    Parameters
    ----------
    pattern : Pattern
        Fits the weight.
    select : KOutOfN or PerNeuron
        Selection of the pattern.
    weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
        Only shape and device matter.

    Attributes
    ----------
    k : int
        Decisions to keep per row.
    read : Tensor of bool, shape (J, n)
        False for decisions on taps that :class:`systolith.network.Strided` drops. Each row has the
        same number of True, at least k, or none.
    """

    def __init__(self, pattern: Pattern, select: KOutOfN | PerNeuron, weight: Tensor) -> None:
        self.k = select.k
        self._select, self._shape, self._size = select, weight_shape(weight), weight.shape
        self._taps = torch.from_numpy(pattern.tap_mask(self._shape)).to(weight.device)
        grouped = group_decisions(self._taps.expand(self._shape).float(), select)
        self._grouped = grouped.shape
        self.read = grouped.reshape(-1, grouped.shape[-1]) > 0

    def rows(self, values: Tensor) -> Tensor:
        """Add up the values of the weights of each decision, (J, n); dropped taps count 0."""
        values = values.reshape(self._shape) * self._taps
        return group_decisions(values, self._select).reshape(self.read.shape)

    def mask(self, chosen: Tensor) -> Tensor:
        """Return the mask, in the shape of the weight, of decisions, bool (J, n)."""
        mask = ungroup_decisions(chosen.reshape(self._grouped), self._select, self._shape)
        return (mask & self._taps).reshape(self._size)


def weight_shape(weight: Tensor) -> WeightShape:
    """Return the shape of weights as (F, C, Kh, Kw).

    Linear layers have (O, I, 1, 1), convolutions of sequences (F, C, 1, K).

    Raises
    ------
    PruneError
        If the tensor has other than 2 to 4 axes.
    """
    if weight.ndim not in (2, 3, 4):
        needed = "(F, C, Kh, Kw), (F, C, K) or (O, I)"
        raise PruneError([f"weights and masks need shape {needed}, got {tuple(weight.shape)}"])
    filters, channels, *taps = weight.shape
    kh, kw = (1, 1, *taps)[-2:]
    return filters, channels, kh, kw


def group_decisions(values: Tensor, select: KOutOfN | PerNeuron) -> Tensor:
    """Move competing values to the last axis; values of weights of one decision are added.

    Parameters
    ----------
    values : Tensor, shape (F, C, Kh, Kw)
        One value per weight.
    select : KOutOfN or PerNeuron

    Returns
    -------
    Tensor, shape (..., n)
        n is the size of a group; per neuron, C*Kh*Kw.
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
    """Undo :func:`group_decisions`: each weight, (F, C, Kh, Kw), has the value of its decision."""
    # Axes are transposed back: for F != C, a reshape alone would break the pattern.
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

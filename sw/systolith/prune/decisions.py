"""The decisions of a pattern on one layer: rows of n that compete, of which k are kept."""

import torch
from torch import Tensor

from systolith.network import KOutOfN, Pattern, PerNeuron
from systolith.prune.topk import group_decisions, ungroup_decisions, weight_shape

__all__ = ["Decisions"]


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

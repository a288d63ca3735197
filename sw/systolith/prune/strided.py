"""Strided taps with offsets that are chosen later, by the weights."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from systolith.network import Dense, KOutOfN, Pattern, PerNeuron, Select, Strided, WeightShape
from systolith.prune.decisions import weight_shape
from systolith.prune.topk import topk_mask

__all__ = ["StridedPattern"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StridedPattern:
    """A selection, and every `stride`-th tap, with an offset per input channel.

    :meth:`over` chooses the offsets by the weights, and returns a :class:`Pattern`.

    Parameters
    ----------
    select : Dense, KOutOfN or PerNeuron
    stride : int
        Distance of kept taps in raster order, from 1 to the number of taps of the kernel.

    Notes
    -----
    Anwar, Hwang, Sung: Structured pruning of deep convolutional neural networks (ACM JETC 13(3),
    2017), intra-kernel strided sparsity.

    **Deviation:** offsets are chosen by magnitude. :func:`systolith.prune.prune_by_particles`
    chooses them with a particle filter, as the paper does.

    Examples
    --------
    >>> weight = torch.tensor([[[[1.0, 3.0, 1.0]], [[2.0, 1.0, 2.0]]]])
    >>> StridedPattern(stride=2).over(weight).taps
    Strided(stride=2, offsets=(1, 0))
    """

    select: Select = Dense()
    stride: int

    def __str__(self) -> str:
        return str(Pattern(select=self.select, taps=Strided(self.stride, (0,))))

    def problems(self, shape: WeightShape) -> Iterator[str]:
        """Yield each reason why weights of this shape cannot have the pattern."""
        return self._at(0, shape).problems(shape)

    def over(self, weight: Tensor, groups: int = 1) -> Pattern:
        """Choose the offsets with the largest magnitudes of kept weights.

        Channels of a k-out-of-n group share an offset. k per neuron is ignored in this choice: it
        selects among all weights at the kept taps. Channels of a grouped convolution share an
        offset, too, as engines need it, unless k weights are kept per neuron.

        Parameters
        ----------
        weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
        groups : int
            Groups of the convolution; weights are (F, C/groups, Kh, Kw).

        Returns
        -------
        Pattern
            Ties go to the smaller offset.

        Raises
        ------
        PruneError
            If weights of this shape cannot have the pattern.
        """
        shape = weight_shape(weight)
        counted = isinstance(self.select, KOutOfN)
        team = self.select.n if isinstance(self.select, KOutOfN) else 1
        if groups > 1 and not isinstance(self.select, PerNeuron):
            team = shape[1]
        score = weight.detach().abs().double()
        rows = []
        for offset in range(self.stride):
            pattern = self._at(offset, shape)
            mask = topk_mask(score, pattern if counted else Pattern(taps=pattern.taps))
            kept = (score * mask).reshape(shape).sum(dim=(0, 2, 3))
            rows.append(kept.reshape(-1, team).sum(dim=1))
        offsets = torch.stack(rows).argmax(dim=0).repeat_interleave(team)
        return Pattern(select=self.select, taps=Strided(self.stride, tuple(offsets.tolist())))

    def _at(self, offset: int, shape: WeightShape) -> Pattern:
        taps = Strided(self.stride, (offset,) * shape[1])
        return Pattern(select=self.select, taps=taps)

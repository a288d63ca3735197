"""Strided taps whose offsets are yet to be chosen, by the weights that they are laid over."""

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

    Weights decide the offsets, see :meth:`over`; only then it is a pattern of the contract.

    Parameters
    ----------
    select : Dense, KOutOfN or PerNeuron
    stride : int
        Of the kept taps, in raster order; at least 1 and at most the taps of the kernel.

    Notes
    -----
    Anwar, Hwang, Sung: Structured pruning of deep convolutional neural networks (ACM JETC 13(3),
    2017), intra-kernel strided sparsity.

    **Deviation:** offsets are chosen by magnitude; those of the paper, by a particle filter, are
    found by :func:`prune_by_particles`.

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
        """Why it cannot be laid over weights of this shape; nothing if it can."""
        return self._at(0, shape).problems(shape)

    def over(self, weight: Tensor, groups: int = 1) -> Pattern:
        """Choose the offsets at which the weights that are kept have the greatest magnitudes.

        Channels of a k-out-of-n group share one. k per neuron does not count: it may choose among
        all the weights that are left. Channels of a grouped convolution share one, too, as engines
        need it, unless k are kept per neuron.

        Parameters
        ----------
        weight : Tensor of float, shape (F, C, Kh, Kw) or (O, I)
        groups : int
            Of the convolution, whose weights are (F, C/groups, Kh, Kw).

        Returns
        -------
        Pattern
            Of equal offsets the least are chosen.

        Raises
        ------
        PruneError
            If the pattern cannot be laid over the shape.
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

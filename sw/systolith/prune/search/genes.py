"""Decisions of a search about one layer, as particles, masks and exact patterns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from systolith.network import Granularity, KOutOfN, Pattern, Strided, WeightShape
from systolith.prune.decisions import weight_shape
from systolith.prune.search.spaces import ChoicePerRow, ExactlyK, ParticleSpace
from systolith.prune.topk import topk_mask

__all__ = ["Genes", "SelectionGenes", "TapGenes", "lowered_rows"]


class Genes(Protocol):
    """One decision about a layer whose weights have shape (F, C, Kh, Kw)."""

    @property
    def granularity(self) -> str:
        """Units that are kept or dropped, for reports."""
        ...

    def problems(self, shape: WeightShape) -> Iterator[str]:
        """Why the decision does not fit weights of this shape; empty if it does."""
        ...

    def space(self, shape: WeightShape) -> ParticleSpace:
        """Space of particles, shape (P, ...)."""
        ...

    def masks(self, particles: Tensor, shape: WeightShape) -> Tensor:
        """Masks of bool, shape (P, F, C, Kh, Kw), of particles."""
        ...

    def keep_largest(self, weights: Tensor) -> Tensor:
        """Particle, shape (...), that keeps the largest magnitudes of weights (F, C, Kh, Kw)."""
        ...

    def refine(self, pattern: Pattern, particle: Tensor, shape: WeightShape) -> Pattern:
        """Combine the pattern of earlier decisions with this one."""
        ...


@dataclass(frozen=True, slots=True)
class SelectionGenes:
    """Choice of k of every n kernels, or weights at each tap; one row per choice.

    Parameters
    ----------
    select : KOutOfN
        With KERNEL and n = C, "k kernels for each output map".
    """

    select: KOutOfN

    @property
    def granularity(self) -> str:
        """See :attr:`Genes.granularity`."""
        return self.select.granularity.value

    def problems(self, shape: WeightShape) -> Iterator[str]:
        """See :meth:`Genes.problems`."""
        return Pattern(select=self.select).problems(shape)

    def space(self, shape: WeightShape) -> ExactlyK:
        """See :meth:`Genes.space`."""
        filters, channels, kh, kw = shape
        choices = 1 if self.select.granularity is Granularity.KERNEL else kh * kw
        rows = filters // self.select.shared_by * (channels // self.select.n) * choices
        return ExactlyK(rows=rows, n=self.select.n, k=self.select.k)

    def masks(self, particles: Tensor, shape: WeightShape) -> Tensor:
        """See :meth:`Genes.masks`; rows are ordered by filter, group of channels, tap."""
        filters, channels, kh, kw = shape
        count, n = len(particles), self.select.n
        teams = filters // self.select.shared_by
        chosen = particles.reshape(count, teams, channels // n, -1, n).transpose(3, 4)
        kernels = chosen.expand(-1, -1, -1, -1, kh * kw)  # whole ones have one choice for all taps
        masks = kernels.reshape(count, teams, channels, kh, kw)
        return masks.repeat_interleave(self.select.shared_by, dim=1)

    def keep_largest(self, weights: Tensor) -> Tensor:
        """See :meth:`Genes.keep_largest`; ties go to the lower channel."""
        mask = topk_mask(weights.detach().abs().cpu(), Pattern(select=self.select))
        channels, n = weights.shape[1], self.select.n
        teams = mask[:: self.select.shared_by].reshape(-1, channels // n, n, weights[0, 0].numel())
        if self.select.granularity is Granularity.KERNEL:
            teams = teams[..., :1]
        return teams.transpose(2, 3).reshape(-1, n)

    def refine(self, pattern: Pattern, particle: Tensor, shape: WeightShape) -> Pattern:
        """See :meth:`Genes.refine`."""
        return replace(pattern, select=self.select)


@dataclass(frozen=True, slots=True, kw_only=True)
class TapGenes:
    """Intra-kernel strided sparsity: the offset of the taps of every input channel.

    All filters share the offset of an input channel, so that dropped rows of the lowered input
    vanish: see :func:`lowered_rows`. If the stride does not divide the number of taps, some offsets
    keep one tap more than others.

    Parameters
    ----------
    stride : int
        Stride of the kept taps, in raster order; at most the number of taps.
    group : int
        Number of neighbouring channels that share an offset; n for a k-out-of-n selection.
    equal : bool
        Try only offsets that keep the fewest taps, so that all channels keep equally many. For a
        3x3 kernel there is one such offset for stride 2, all for 3, and three for 4.

    Notes
    -----
    Anwar, Hwang, Sung: Structured pruning of deep convolutional neural networks (ACM JETC 13(3),
    2017), intra-kernel strided sparsity.
    """

    stride: int
    group: int = 1
    equal: bool = False

    @property
    def granularity(self) -> str:
        """See :attr:`Genes.granularity`."""
        return "strided taps"

    def problems(self, shape: WeightShape) -> Iterator[str]:
        """See :meth:`Genes.problems`."""
        channels, taps = shape[1], prod(shape[2:])
        if not 1 <= self.stride <= taps:
            yield f"tap stride must lie in 1..{taps}, the taps of the kernel, got {self.stride}"
        if self.group < 1 or channels % self.group:
            yield (
                f"offsets shared by {self.group} channels need a multiple of as many input "
                f"channels, got {channels}"
            )

    def space(self, shape: WeightShape) -> ChoicePerRow:
        """See :meth:`Genes.space`."""
        return ChoicePerRow(rows=shape[1] // self.group, choices=len(self._offsets(shape)))

    def masks(self, particles: Tensor, shape: WeightShape) -> Tensor:
        """See :meth:`Genes.masks`."""
        filters, channels, kh, kw = shape
        taps = torch.arange(kh * kw, device=particles.device)
        read = (taps - self._channel_offsets(particles, shape)[..., None]) % self.stride == 0
        return read.reshape(-1, 1, channels, kh, kw).expand(-1, filters, -1, -1, -1)

    def keep_largest(self, weights: Tensor) -> Tensor:
        """See :meth:`Genes.keep_largest`; ties go to the smaller offset."""
        taps = weights.detach().abs().double().cpu().sum(0).flatten(1)
        shared = taps.reshape(-1, self.group, taps.shape[1]).sum(1)
        offsets = self._offsets(weight_shape(weights))
        kept = torch.stack([shared[:, offset :: self.stride].sum(1) for offset in offsets], 1)
        return kept.argsort(dim=1, descending=True, stable=True)[:, 0]

    def refine(self, pattern: Pattern, particle: Tensor, shape: WeightShape) -> Pattern:
        """See :meth:`Genes.refine`."""
        offsets = self._channel_offsets(particle, shape).tolist()
        return replace(pattern, taps=Strided(self.stride, tuple(offsets)))

    def _offsets(self, shape: WeightShape) -> range:
        """Offsets that may be chosen; only the first ones may keep one tap more."""
        return range(prod(shape[2:]) % self.stride if self.equal else 0, self.stride)

    def _channel_offsets(self, particles: Tensor, shape: WeightShape) -> Tensor:
        first = self._offsets(shape).start
        return particles.repeat_interleave(self.group, dim=-1) + first


def lowered_rows(pattern: Pattern, shape: WeightShape) -> Tensor:
    """Find rows of the lowered input (columns of the lowered weights) that any filter reads.

    A convolution is ``Y = Wm Xc``, with weights Wm (F, C * Kh * Kw) and the input Xc
    (C * Kh * Kw, Ho * Wo) lowered by :func:`torch.nn.functional.unfold`. Filters share the offset
    of a channel, so with these rows r, ``Y = Wm[:, r] Xc[r]`` is a smaller product.

    Parameters
    ----------
    pattern : Pattern
        Pattern whose taps are used.
    shape : WeightShape
        (F, C, Kh, Kw).

    Returns
    -------
    Tensor of bool, shape (C * Kh * Kw,)
        True for rows that are read.

    Raises
    ------
    NetworkError
        If the taps do not fit the shape.

    Notes
    -----
    Anwar, Hwang, Sung: Structured pruning of deep convolutional neural networks (ACM JETC 13(3),
    2017), intra-kernel strided sparsity with the constraint that makes it pay.

    Examples
    --------
    >>> from systolith.network import Strided
    >>> lowered_rows(Pattern(taps=Strided(2, (0, 1))), (8, 2, 1, 3)).tolist()
    [True, False, True, False, True, False]
    """
    return torch.from_numpy(pattern.tap_mask(shape)).reshape(prod(shape[1:]))

"""What a search decides about one layer, as particles, masks and exact patterns."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol

import torch
from torch import Tensor

from systolith.network import Granularity, KOutOfN, Pattern, Strided, WeightShape
from systolith.prune.search.spaces import ChoicePerRow, ExactlyK, SearchSpace

__all__ = ["Genes", "SelectionGenes", "TapGenes", "lowered_rows"]


class Genes(Protocol):
    """One decision about a layer whose weights have shape (F, C, Kh, Kw)."""

    @property
    def granularity(self) -> str:
        """What is kept or dropped, for reports."""
        ...

    def problems(self, shape: WeightShape) -> Iterator[str]:
        """Why it cannot be made for weights of this shape; nothing if it can."""
        ...

    def space(self, shape: WeightShape) -> SearchSpace:
        """The particles, shape (P, ...)."""
        ...

    def masks(self, particles: Tensor, shape: WeightShape) -> Tensor:
        """Masks of bool, shape (P, F, C, Kh, Kw), of particles."""
        ...

    def refine(self, pattern: Pattern, particle: Tensor, shape: WeightShape) -> Pattern:
        """The pattern of earlier decisions, narrowed by this one: its masks are both's."""
        ...


@dataclass(frozen=True, slots=True)
class SelectionGenes:
    """Which k of every n kernels, or weights at each tap, are kept; one row for each choice.

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

    def refine(self, pattern: Pattern, particle: Tensor, shape: WeightShape) -> Pattern:
        """See :meth:`Genes.refine`."""
        return replace(pattern, select=self.select)


@dataclass(frozen=True, slots=True, kw_only=True)
class TapGenes:
    """Intra-kernel strided sparsity: at which offset every input channel is read.

    All filters that read an input channel share its offset, so that the dropped rows of the lowered
    input vanish: see :func:`lowered_rows`. If the stride does not divide the taps of a kernel, some
    offsets keep one tap more than others.

    Parameters
    ----------
    stride : int
        Of the kept taps, in raster order; at most the taps of the kernel.
    group : int
        Neighbouring channels that share one offset, as those of a k-out-of-n group must.
    equal : bool
        Whether only offsets are tried that keep the fewest taps, so that all channels keep equally
        many. Of a 3x3 kernel, stride 2 leaves one such offset, 3 leaves all, 4 leaves three.

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

    def refine(self, pattern: Pattern, particle: Tensor, shape: WeightShape) -> Pattern:
        """See :meth:`Genes.refine`."""
        offsets = self._channel_offsets(particle, shape).tolist()
        return replace(pattern, taps=Strided(self.stride, tuple(offsets)))

    def _offsets(self, shape: WeightShape) -> range:
        """The offsets that may be chosen: the first ones have the tap more, if any has."""
        return range(prod(shape[2:]) % self.stride if self.equal else 0, self.stride)

    def _channel_offsets(self, particles: Tensor, shape: WeightShape) -> Tensor:
        first = self._offsets(shape).start
        return particles.repeat_interleave(self.group, dim=-1) + first


def lowered_rows(pattern: Pattern, shape: WeightShape) -> Tensor:
    """Rows of the lowered input, which are columns of the lowered weights, that are read at all.

    A convolution is ``Y = Wm Xc``, Wm (F, C * Kh * Kw) being the weights, Xc (C * Kh * Kw, Ho * Wo)
    the input as :func:`torch.nn.functional.unfold` lowers it. Filters share the offset of a
    channel, so with these rows r, ``Y = Wm[:, r] Xc[r]``: the product shrinks, whatever is
    selected.

    Parameters
    ----------
    pattern : Pattern
        Its taps.
    shape : WeightShape
        (F, C, Kh, Kw).

    Returns
    -------
    Tensor of bool, shape (C * Kh * Kw,)
        True is read.

    Raises
    ------
    NetworkError
        If the taps cannot be laid over the shape.

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

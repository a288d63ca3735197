"""Transposed convolutions of strides r and s as r*s convolutions of the input, without zeros."""

from dataclasses import replace
from math import ceil, gcd, prod
from typing import Unpack

import torch
from torch import Tensor, nn

from systolith.network import (
    AllTaps,
    Granularity,
    KOutOfN,
    NetworkError,
    Padding,
    Pattern,
    PerNeuron,
)
from systolith.quant.layers.weighted import QuantConv2d, WeightedSettings, WeightIntegers

__all__ = ["QuantConvTranspose2d", "phase_bias", "phase_weights"]


def phase_weights(
    weight: Tensor, strides: tuple[int, int], groups: int, missing: Tensor | None = None
) -> Tensor:
    """Write the weights of a transposed convolution as those of all its phases.

    Parameters
    ----------
    weight : Tensor, shape (F, C/groups, Kh, Kw)
        Filters first; taps as in ``nn.ConvTranspose2d``.
    strides : (int, int)
        r of rows, s of columns.
    groups : int
    missing : Tensor, shape (F, C/groups, 1, 1), optional
        Values of taps that do not exist, if a stride does not divide the kernel. Default: 0.

    Returns
    -------
    Tensor, shape (r*s*F, C/groups, ceil(Kh/r), ceil(Kw/s))
        Filters of one group beside each other, in each group by phase.
    """
    filters, channels, *kernel = weight.shape
    rows, columns = (ceil(size / stride) for size, stride in zip(kernel, strides, strict=True))
    missing = weight.new_zeros(filters, channels, 1, 1) if missing is None else missing
    whole = missing.expand(-1, -1, rows * strides[0], columns * strides[1]).clone()
    whole[:, :, : kernel[0], : kernel[1]] = weight
    taps = whole.reshape(groups, filters // groups, channels, rows, strides[0], columns, strides[1])
    phases = taps.flip(3, 5).permute(0, 4, 6, 1, 2, 3, 5)
    return phases.reshape(prod(strides) * filters, channels, rows, columns)


def phase_bias(values: Tensor, strides: tuple[int, int], groups: int) -> Tensor:
    """Repeat one value per filter, shape (F,), for the filters of :func:`phase_weights`."""
    parts = values.reshape(groups, 1, -1).expand(-1, prod(strides), -1)
    return parts.reshape(-1)


class QuantConvTranspose2d(QuantConv2d):
    """All phases of a transposed convolution; parameters as :class:`QuantConv2d`.

    The weights are those of the float model, filters first, and are quantized per filter. A
    :class:`QuantDepthToSpace` behind it makes pixels of the phases. Masks keep k of every n
    channels at each tap, or whole kernels: then each phase does.

    Parameters
    ----------
    phases : (int, int)
        Strides of the transposed convolution, of rows and columns.
    """

    def __init__(
        self,
        conv: nn.Conv2d,
        *,
        padding: Padding,
        phases: tuple[int, int],
        **settings: Unpack[WeightedSettings],
    ) -> None:
        super().__init__(conv, padding=padding, **settings)
        self.phases = phases
        self.stride = (1, 1)

    def apply_weights(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with any weights of this layer's shape; (N, C, H, W) to (N, r*s*F, Ho, Wo)."""
        if bias is not None:
            bias = phase_bias(bias, self.phases, self.groups)
        return super().apply_weights(x, phase_weights(weight, self.phases, self.groups), bias)

    def apply_integers(self, x: Tensor, weight: Tensor) -> Tensor:
        """Convolve with weights of :meth:`integers`."""
        return super().apply_weights(x, weight, None)

    def integers(self, input_step: Tensor) -> WeightIntegers:
        """Compute the integers of all phases."""
        own = super().integers(input_step)
        point = own.scaling.fixed_point
        multiplier, negative = (
            values
            if values is None or values.numel() == 1
            else phase_bias(values, self.phases, self.groups)
            for values in (point.multiplier, point.negative)
        )
        assert multiplier is not None
        point = replace(point, multiplier=multiplier, negative=negative)
        scaling = replace(own.scaling, fixed_point=point)
        return WeightIntegers(
            weight=phase_weights(own.weight, self.phases, self.groups),
            bias=phase_bias(own.bias, self.phases, self.groups),
            scaling=scaling,
        )

    def spread(self, weight: Tensor) -> Tensor:
        """Write values of the weights as those of all phases; 0 for taps that do not exist."""
        return phase_weights(weight, self.phases, self.groups)

    def spread_filters(self, values: Tensor) -> Tensor:
        """Repeat one value of each filter for its phases."""
        return phase_bias(values, self.phases, self.groups)

    def network_mask(self) -> tuple[Pattern, Tensor]:
        """Pattern and mask of all phases; of taps that do not exist, the first k are kept."""
        pattern, select = self.network_pattern(self.pattern), self.pattern.select
        if not isinstance(select, KOutOfN):
            return pattern, phase_weights(self.mask, self.phases, self.groups)
        missing = self.mask[:, :, :1, :1]
        if select.granularity is Granularity.WEIGHT:
            first = torch.arange(self.mask.shape[1], device=self.mask.device) % select.n < select.k
            missing = first.reshape(1, -1, 1, 1).expand_as(missing)
        return pattern, phase_weights(self.mask, self.phases, self.groups, missing)

    def network_pattern(self, pattern: Pattern) -> Pattern:
        """Pattern of all phases: filters that share a mask are neighbours in one phase."""
        if not isinstance(pattern.taps, AllTaps) or isinstance(pattern.select, PerNeuron):
            problem = f"transposed convolutions need k of every n weights or kernels, got {pattern}"
            raise NetworkError([problem])
        if not isinstance(pattern.select, KOutOfN):
            return pattern
        in_group = len(self.weight) // self.groups
        return replace(
            pattern,
            select=replace(pattern.select, shared_by=gcd(pattern.select.shared_by, in_group)),
        )

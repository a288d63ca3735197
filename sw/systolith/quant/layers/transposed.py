"""Transposed convolutions of stride s as s*s convolutions of the input, without zeros between."""

from dataclasses import replace
from math import ceil

from torch import Tensor
from torch.nn import functional as F

from systolith.quant.layers.weighted import QuantConv2d, WeightIntegers

__all__ = ["QuantConvTranspose2d", "phase_bias", "phase_weights"]


def phase_weights(weight: Tensor, stride: int, groups: int) -> Tensor:
    """Write the weights of a transposed convolution as those of all its phases.

    Parameters
    ----------
    weight : Tensor, shape (F, C/groups, Kh, Kw)
        Filters first; taps as in ``nn.ConvTranspose2d``.
    stride, groups : int

    Returns
    -------
    Tensor, shape (s*s*F, C/groups, ceil(Kh/s), ceil(Kw/s))
        Filters of one group beside each other, in each group by phase. Taps that do not exist, if s
        does not divide the kernel, are 0.
    """
    filters, channels, *kernel = weight.shape
    rows, columns = (ceil(size / stride) for size in kernel)
    missing = (0, columns * stride - kernel[1], 0, rows * stride - kernel[0])
    taps = F.pad(weight, missing).reshape(
        groups, filters // groups, channels, rows, stride, columns, stride
    )
    phases = taps.flip(3, 5).permute(0, 4, 6, 1, 2, 3, 5)
    return phases.reshape(stride**2 * filters, channels, rows, columns)


def phase_bias(values: Tensor, stride: int, groups: int) -> Tensor:
    """Repeat one value per filter, shape (F,), for the filters of :func:`phase_weights`."""
    parts = values.reshape(groups, 1, -1).expand(-1, stride**2, -1)
    return parts.reshape(-1)


class QuantConvTranspose2d(QuantConv2d):
    """All phases of a transposed convolution; parameters as :class:`QuantConv2d`.

    The weights are those of the float model, filters first, and are quantized per filter. A
    :class:`QuantDepthToSpace` behind it makes pixels of the phases.

    Parameters
    ----------
    phases : int
        Stride s of the transposed convolution, at least 2.
    """

    def __init__(self, *args: object, phases: int, **settings: object) -> None:
        super().__init__(*args, **settings)  # type: ignore[arg-type]  # those of QuantConv2d
        self.phases = phases
        self.stride = (1, 1)

    def apply_weights(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve with any weights of this layer's shape; (N, C, H, W) to (N, s*s*F, Ho, Wo)."""
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

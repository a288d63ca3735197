"""The end of a layer: activation, output quantizer, and their integer form."""

from dataclasses import dataclass, replace
from enum import Enum
from math import frexp

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import ActType, Padding
from systolith.quant.steps.fixed_point import FixedPoint, to_fixed_point
from systolith.quant.steps.lsq import quantize
from systolith.quant.steps.quantizers import ActQuantizer, SignQuantizer

__all__ = ["Activation", "Requantizing", "Scaling", "make_ties_exact", "pad"]

RELU6_LIMIT = 6.0


class Activation(Enum):
    """Nonlinearity at the end of a layer."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"
    SLOPED = "sloped"
    """LeakyReLU or PReLU: negative values are multiplied by a slope."""

    @property
    def rectifies(self) -> bool:
        """Whether no result is negative."""
        return self in (Activation.RELU, Activation.RELU6)

    def __call__(self, x: Tensor, slope: Tensor | None = None) -> Tensor:
        """Apply it to a tensor of shape (N, channels, ...).

        Parameters
        ----------
        x : Tensor
        slope : Tensor, shape (channels,) or (1,)
            Of :attr:`SLOPED` only.
        """
        match self:
            case Activation.NONE:
                return x
            case Activation.RELU:
                return F.relu(x)
            case Activation.RELU6:
                return F.relu6(x)
            case Activation.SLOPED:
                assert slope is not None
                return F.prelu(x, slope)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """From accumulator to output: one multiplier per channel (or one), one shift, one clamp.

    ``clamp(((acc * multiplier + offset + 2**(shift-1)) >> shift), *clamp)``, then saturated to
    `output`. An `offset` of None is 0.
    """

    fixed_point: FixedPoint
    output: ActType
    clamp: tuple[int, int] | None
    offset: Tensor | None = None


class Requantizing(nn.Module):
    """Base of layers with an accumulator: an activation and an output quantizer."""

    slope: Tensor | None

    def __init__(
        self, activation: Activation, output: ActQuantizer, slope: Tensor | None = None
    ) -> None:
        super().__init__()
        self.activation = activation
        self.output = output
        own = None if slope is None else slope.detach().float().clone()
        if own is not None and isinstance(slope, nn.Parameter):
            self.slope = nn.Parameter(own, requires_grad=slope.requires_grad)
        else:
            self.register_buffer("slope", own)

    def finish(self, acc: Tensor) -> Tensor:
        """Apply activation and output quantizer."""
        quantized: Tensor
        if self.activation is Activation.RELU and not self.output.act_type.signed:
            quantized = self.output(acc, rectify=True)
        else:
            quantized = self.output(self.activate(acc))
        return quantized

    def activate(self, acc: Tensor) -> Tensor:
        """Apply the activation alone."""
        return self.activation(acc, self.slope)

    def scaling(self, acc_step: Tensor, *, sloped: bool = True) -> Scaling:
        """Fixed-point form of accumulator steps, float64 of shape (channels,) or (1,).

        Without `sloped`, the slope of negative values is left out.
        """
        if isinstance(self.output, SignQuantizer):
            # clamp(2 * acc + 1, -1, 1) is +1 from 0 on, and -1 below.
            twice = torch.full(acc_step.shape, 2, dtype=torch.int64, device=acc_step.device)
            return Scaling(
                fixed_point=FixedPoint(multiplier=twice, shift=0),
                output=self.output.act_type,
                clamp=(-1, 1),
                offset=torch.ones_like(twice),
            )
        step = self.output.step.detach()
        slope = self.slope.detach().double() if sloped and self.slope is not None else None
        clamp = None
        if self.activation is Activation.RELU and self.output.act_type.signed:
            clamp = (0, self.output.act_type.high)
        if self.activation is Activation.RELU6:
            limit = quantize(step.new_tensor(RELU6_LIMIT), step, 0, self.output.act_type.high)
            clamp = (0, int(limit))
        return Scaling(
            fixed_point=to_fixed_point(acc_step / step.double(), slope),
            output=self.output.act_type,
            clamp=clamp,
        )


def pad(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    """Add rows and columns of `value` around images of shape (N, C, H, W)."""
    top, bottom, left, right = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x


def extend(x: Tensor, padding: Padding) -> Tensor:
    """Repeat the borders of images of shape (N, C, H, W)."""
    top, bottom, left, right = padding
    return F.pad(x, (left, right, top, bottom), mode="replicate")


def make_ties_exact(
    scaling: Scaling, ratio: float, divisor: int, input_type: ActType, *, pixels: int
) -> Scaling:
    """Round averages that lie halfway between two integers upwards, as floats do.

    Such ties occur if the steps of input and output differ by a power of two. The scale is then
    ``1 / q`` for an integer q, a multiple of the divisor. Its multiplier is exact only if q is a
    power of two. Otherwise it is the integer nearest to ``2**shift / q``, which is too small for
    every second divisor, so that sums ``(k + 1/2) * q`` would be rounded down.

    For sums that are not negative, a multiplier rounded up, by less than 1, rounds ties up. For
    negative sums, a multiplier rounded down and an offset do. The next sum below a tie must stay
    below it: it is ``1 / q`` lower, more than the error as long as ``pixels * 2**bits < 2**15``,
    which allows 127 values of 8 bits.

    Parameters
    ----------
    scaling : Scaling
        With the nearest multiplier.
    ratio : float
        Step of the input over that of the output.
    divisor : int
        What sums are divided by.
    input_type : ActType
        Type of the values.
    pixels : int
        Number of values in a sum, the divisor of an average.
    """
    fixed_point = scaling.fixed_point
    most = pixels << (input_type.bits - input_type.signed)
    """Greatest magnitude of a sum over a window."""
    mantissa, exponent = frexp(ratio)
    if (
        fixed_point.negative is not None
        or mantissa != 0.5
        or pixels * (1 << input_type.bits) >= 1 << 15
    ):
        return scaling
    if exponent > 0 and divisor % (1 << exponent):
        return scaling  # q is odd: there are no ties
    # ratio = 2**(exponent - 1), so the exact multiplier is top / divisor.
    top = 1 << max(fixed_point.shift + exponent - 1, 0)
    if fixed_point.shift + exponent - 1 < 0 or top % divisor == 0:
        return scaling
    nearest = int(fixed_point.multiplier[0])
    below = top // divisor
    if nearest not in (below, below + 1):
        return scaling
    multiplier = torch.tensor([below if input_type.signed else below + 1])
    exact = FixedPoint(multiplier=multiplier, shift=fixed_point.shift)
    offset = torch.tensor([most]) if input_type.signed else None
    return replace(scaling, fixed_point=exact, offset=offset)

"""How a layer ends: activation, output quantizer, and their integer form."""

from dataclasses import dataclass
from enum import Enum

from torch import Tensor, nn
from torch.nn import functional as F

from systolith.network import ActType, Padding
from systolith.quant.fixed_point import FixedPoint, fixed_point
from systolith.quant.lsq import quantize
from systolith.quant.quantizers import ActQuantizer

__all__ = ["Activation", "Requantizing", "Scaling", "pad"]

RELU6_LIMIT = 6.0


class Activation(Enum):
    """The nonlinearity that a layer ends with."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to a tensor of any shape."""
        match self:
            case Activation.NONE:
                return x
            case Activation.RELU:
                return F.relu(x)
            case Activation.RELU6:
                return F.relu6(x)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """From accumulator to output: one multiplier per channel (or one), one shift, one clamp.

    ``clamp(((acc * multiplier + offset + 2**(shift-1)) >> shift), *clamp)``, then saturated to
    `output`. No `offset` is 0.
    """

    fixed_point: FixedPoint
    output: ActType
    clamp: tuple[int, int] | None
    offset: Tensor | None = None


class Requantizing(nn.Module):
    """What layers with an accumulator have in common: an activation and an output quantizer."""

    def __init__(self, activation: Activation, output: ActQuantizer) -> None:
        super().__init__()
        self.activation = activation
        self.output = output

    def finish(self, acc: Tensor) -> Tensor:
        """Activation and output quantizer."""
        quantized: Tensor
        if self.activation is Activation.RELU and not self.output.act_type.signed:
            quantized = self.output(acc, rectify=True)
        else:
            quantized = self.output(self.activation(acc))
        return quantized

    def scaling(self, acc_step: Tensor) -> Scaling:
        """Fixed-point form of accumulator steps, float64 of shape (channels,) or (1,)."""
        step = self.output.step.detach()
        clamp = None
        if self.activation is Activation.RELU6:
            limit = quantize(step.new_tensor(RELU6_LIMIT), step, 0, self.output.act_type.high)
            clamp = (0, int(limit))
        return Scaling(
            fixed_point=fixed_point(acc_step / step.double()),
            output=self.output.act_type,
            clamp=clamp,
        )


def pad(x: Tensor, padding: Padding, value: float = 0.0) -> Tensor:
    """Add rows and columns of `value` around images of shape (N, C, H, W)."""
    top, bottom, left, right = padding
    return F.pad(x, (left, right, top, bottom), value=value) if any(padding) else x

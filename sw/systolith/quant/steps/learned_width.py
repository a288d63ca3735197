"""A quantizer that also learns its number of bits."""

from math import floor, log2

import torch
from torch import Tensor, nn

from systolith.quant.steps.lsq import fake_quantize

__all__ = ["LearnedWidth"]

MIN_WIDTH, MAX_WIDTH = 2, 8


class LearnedWidth(nn.Module):
    """Quantizes a tensor with a learned range and a learned number of bits.

    Integers reach from ``-high`` (0 if unsigned) to ``high = 2**(b - signed) - 1``; the step is
    ``range / high``. Forward computes with b = :attr:`width`, a whole number, whose gradient passes
    straight through to :attr:`bits`: more bits mean a smaller step and less rounding error. The
    range trades the rounding error of values inside for the clipping of values beyond.

    Parameters
    ----------
    peak : float
        Initial range; positive.
    signed : bool
    power_of_two : bool
        Widths are 2, 4 or 8.

    Attributes
    ----------
    log2_range : nn.Parameter of float32, shape ()
    free_bits : nn.Parameter of float32, shape ()
        Number of bits before clamping.

    Notes
    -----
    Wang, Lu, Blankevoort: Differentiable joint pruning and quantization for hardware efficiency
    (ECCV 2020), section 3.2.

    **Deviation:** range and bits are parameters, and the step follows from them; in the paper,
    range and step are parameters. Clamping keeps bits in 2..8.

    **Deviation:** the mapping before quantization is linear; forward computes with whole bits.
    """

    def __init__(self, peak: float, *, signed: bool, power_of_two: bool = False) -> None:
        super().__init__()
        self.signed, self.power_of_two = signed, power_of_two
        self.log2_range = nn.Parameter(torch.tensor(log2(peak)))
        self.free_bits = nn.Parameter(torch.tensor(float(MAX_WIDTH)))

    @property
    def bits(self) -> Tensor:
        """Number of bits before rounding, 2..8, differentiable; shape ()."""
        return self.free_bits.clamp(MIN_WIDTH, MAX_WIDTH)

    @property
    def width(self) -> int:
        """Whole number of bits, 2..8."""
        bits = float(self.bits.detach())
        return 2 ** floor(log2(bits) + 0.5) if self.power_of_two else floor(bits + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Fake-quantize x, shape (N, ...)."""
        width, sign = self.width, int(self.signed)
        high = 2 ** (width - sign) - 1
        bits = self.bits
        bits = bits + (width - bits).detach()
        reach = torch.exp2(self.log2_range)
        low = -reach if self.signed else torch.zeros_like(reach)
        step = reach / (torch.exp2(bits - sign) - 1)
        # All values are inside the range; a rounded quotient must not leave it.
        return fake_quantize(x.clamp(low, reach), step, -high - 1, high + 1, 1.0)

    def clamp_(self) -> None:
        """Clamp bits to their bounds, where gradients reach them."""
        with torch.no_grad():
            self.free_bits.clamp_(MIN_WIDTH, MAX_WIDTH)

"""Quantizers with learned steps, for activations and for weights."""

from math import prod

import torch
from torch import Tensor, nn

from systolith.network import ActType
from systolith.quant.steps.binary import best_scale, binarize, sign_values
from systolith.quant.steps.lsq import fake_quantize, quantize

__all__ = ["ActQuantizer", "SignQuantizer", "WeightQuantizer", "best_step"]

SPREAD = 64
OUTPUT_HEADROOM = 4
SEARCHED_BITS = 8
CANDIDATES = 48
FEWEST_LEVELS = 0.15
POWERS = 4
MAX_VALUES = 1 << 16


class ActQuantizer(nn.Module):
    """Quantizes a tensor of activations with one learned step.

    Parameters
    ----------
    act_type : ActType
        Type of the integers; the zero point is 0.
    power_of_two : bool
        Round the step to a power of two.

    Notes
    -----
    LSQ, see :func:`fake_quantize`.

    **Deviation:** the parameter is the logarithm of the step: it stays positive, and adaptive
    optimizers change it by a factor. Jain, Gural, Wu, Dick: Trained quantization thresholds (MLSys
    2020), section 3, also for power-of-two steps with a straight-through gradient.
    """

    log2_step: nn.Parameter

    def __init__(self, act_type: ActType, *, power_of_two: bool = False) -> None:
        super().__init__()
        self.act_type = act_type
        self.power_of_two = power_of_two
        self.log2_step = nn.Parameter(torch.zeros(()))

    @property
    def step(self) -> Tensor:
        """Value of one unit of the integers; shape ()."""
        return _step(self.log2_step, self.power_of_two)

    def forward(self, x: Tensor, *, rectify: bool = False) -> Tensor:
        """Fake-quantize x, shape (N, ...); `rectify` applies a ReLU before."""
        low, high = self.act_type.low, self.act_type.high
        # As in LSQ, N counts the features, not the batch.
        gradient_scale = (prod(x.shape[1:]) * high) ** -0.5
        return fake_quantize(x, self.step, low, high, gradient_scale, rectify=rectify)

    def integers(self, x: Tensor) -> Tensor:
        """Integers that x, any shape, is quantized to, as int64."""
        return quantize(x, self.step.detach(), self.act_type.low, self.act_type.high)

    def calibrate_(self, x: Tensor) -> None:
        """Choose the step for values like x; wider types keep two bits of headroom."""
        row = x.reshape(1, -1)
        if self.act_type.bits <= SEARCHED_BITS:
            low, high = self.act_type.low, self.act_type.high
            step = best_step(row, low, high, power_of_two=self.power_of_two)
        else:
            peak = row.abs().amax(1)
            step = OUTPUT_HEADROOM * torch.where(peak > 0, peak, 1.0) / self.act_type.high
        self.set_step_(step[0])

    def set_step_(self, step: Tensor) -> None:
        """Set the step; shape ()."""
        with torch.no_grad():
            self.log2_step.copy_(step.log2())


class SignQuantizer(ActQuantizer):
    """Quantizes a tensor of activations to -1 or +1 times a learned step; 0 becomes +1.

    The integers are -1 and +1 in two bits, so that padding with zeros is exact.

    Notes
    -----
    See :func:`systolith.quant.steps.binary.sign_values`.
    """

    def __init__(self, *, power_of_two: bool = False) -> None:
        super().__init__(ActType(bits=2, signed=True), power_of_two=power_of_two)

    def forward(self, x: Tensor, *, rectify: bool = False) -> Tensor:
        """Fake-quantize x, shape (N, ...)."""
        return sign_values(x, self.step, prod(x.shape[1:]) ** -0.5)

    def integers(self, x: Tensor) -> Tensor:
        """Signs of x, any shape, as int64."""
        return torch.where(x.detach() >= 0, 1, -1)

    def calibrate_(self, x: Tensor) -> None:
        """Choose the mean magnitude of values like x as the step."""
        self.set_step_(best_scale(x.reshape(1, -1))[0])


class WeightQuantizer(nn.Module):
    """Quantizes weights symmetrically, with a learned step per output channel or per layer.

    No step is smaller than 1/64 of the largest step of the layer. This bounds the error of
    multipliers that share a shift (see :func:`to_fixed_point`), and the biases of channels with
    nearly zero weights.

    Parameters
    ----------
    channels : int
        Output channels; 1 for one step per layer.
    bits : int
        1..8; integers are ``-2**(bits-1) .. 2**(bits-1)-1``. One bit is a sign, -1 or +1;
        a weight of exactly 0, normally a pruned one, stays 0.
    narrow_range : bool
        Leave the lowest integer out, which makes the range symmetric and two bits ternary: -1, 0,
        +1.
    power_of_two : bool
        Round steps to powers of two.

    Notes
    -----
    LSQ with the deviation of :class:`ActQuantizer`; for one bit see :func:`binarize`.

    **Deviation:** each output channel has a step; N in the gradient scale counts its kept weights.
    """

    log2_step: nn.Parameter

    def __init__(
        self,
        channels: int,
        bits: int,
        *,
        narrow_range: bool = False,
        power_of_two: bool = False,
    ) -> None:
        super().__init__()
        self.bits = bits
        self.narrow_range = narrow_range
        self.power_of_two = power_of_two
        self.log2_step = nn.Parameter(torch.zeros(channels))

    @property
    def low(self) -> int:
        """Smallest integer."""
        return -self.high if self.narrow_range or self.bits == 1 else -self.high - 1

    @property
    def high(self) -> int:
        """Largest integer."""
        return max((1 << (self.bits - 1)) - 1, 1)

    @property
    def step(self) -> Tensor:
        """Value of one unit of the integers; shape (channels,)."""
        step = _step(self.log2_step, self.power_of_two)
        return torch.maximum(step, step.detach().max() / SPREAD)

    def forward(self, weight: Tensor, kept: int) -> Tensor:
        """Fake-quantize weights, shape (F, ...); `kept` is the number of weights not pruned."""
        sharing = max(kept // self.log2_step.numel(), 1)
        gradient_scale = (sharing * self.high) ** -0.5
        step = self._broadcast(weight)
        if self.bits == 1:
            return binarize(weight, step, gradient_scale)
        return fake_quantize(weight, step, self.low, self.high, gradient_scale)

    def integers(self, weight: Tensor) -> Tensor:
        """Integers that weights, shape (F, ...), are quantized to, as int64."""
        if self.bits == 1:
            return weight.detach().sign().to(torch.int64)
        return quantize(weight.detach(), self._broadcast(weight).detach(), self.low, self.high)

    def calibrate_(self, weight: Tensor) -> None:
        """Choose the steps for these weights, shape (F, ...)."""
        rows = weight.reshape(self.log2_step.numel(), -1)
        with torch.no_grad():
            if self.bits == 1:
                step = best_scale(rows)
            else:
                step = best_step(rows, self.low, self.high, power_of_two=self.power_of_two)
        self.set_step_(step)

    def set_step_(self, step: Tensor) -> None:
        """Set the steps; shape (channels,)."""
        with torch.no_grad():
            self.log2_step.copy_(step.log2())

    def _broadcast(self, weight: Tensor) -> Tensor:
        return self.step.reshape(-1, *[1] * (weight.ndim - 1))


def _step(log2_step: Tensor, power_of_two: bool) -> Tensor:
    if power_of_two:
        log2_step = log2_step + (log2_step.round() - log2_step).detach()
    return torch.exp2(log2_step)


def best_step(rows: Tensor, low: int, high: int, *, power_of_two: bool = False) -> Tensor:
    """Find each row's step with the least squared quantization error.

    Steps are tried on a grid that goes down from the smallest step that reaches the greatest
    magnitude, or from the next power of two above it.

    Parameters
    ----------
    rows : Tensor of float, shape (R, N)
        Each row shares a step. Of rows longer than 65536, evenly spaced values are used.
    low, high : int
        Range of the integers.
    power_of_two : bool
        Try powers of two only.

    Returns
    -------
    Tensor of float, shape (R,)
        Positive; ``1 / high`` for a row of zeros, or the next power of two.

    Notes
    -----
    **Deviation:** LSQ starts from ``2 mean|x| / sqrt(high)``. With many bits this range is several
    times too wide (32 mean|x| for 8 bits), and few epochs of training do not correct it.
    """
    rows = rows.detach()
    stride = -(-rows.shape[1] // MAX_VALUES)
    peak = torch.maximum(rows.amax(1) / high, rows.amin(1) / min(low, -1)).clamp_min(0)
    rows = rows[:, ::stride]
    peak = torch.where(peak == 0, 1 / high, peak)
    factors = torch.linspace(1.0, FEWEST_LEVELS, CANDIDATES).tolist()
    if power_of_two:
        peak, factors = torch.exp2(peak.log2().ceil()), [0.5**i for i in range(POWERS)]
    best = peak
    least = torch.full_like(best, torch.inf)
    for factor in factors:
        step = peak * factor
        error = ((quantize(rows, step[:, None], low, high) * step[:, None] - rows) ** 2).sum(1)
        better = error < least
        best = torch.where(better, step, best)
        least = torch.where(better, error, least)
    return best

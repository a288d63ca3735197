"""Initial steps: those with the least squared error on what is to be quantized."""

import torch
from torch import Tensor

from systolith.quant.lsq import quantize

__all__ = ["best_step"]

CANDIDATES = 48
FEWEST_LEVELS = 0.15
POWERS = 4
MAX_VALUES = 1 << 16


def best_step(rows: Tensor, low: int, high: int, *, power_of_two: bool = False) -> Tensor:
    """Find each row's step with the least squared quantization error.

    Steps are tried on a grid, from the one that just reaches the greatest magnitude downwards.
    Powers of two begin with the next one above that.

    Parameters
    ----------
    rows : Tensor of float, shape (R, N)
        Values that share a step, row by row; of more than 65536, evenly spaced ones are looked at.
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
    **Deviation** from LSQ's ``2 mean|x| / sqrt(high)``: with many bits that gives a range several
    times too wide (32 mean|x| for 8 bits), and training few epochs does not win it back.
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

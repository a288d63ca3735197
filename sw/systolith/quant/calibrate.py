"""Initial steps: those with the least squared error on what is to be quantized."""

import torch
from torch import Tensor

from systolith.quant.lsq import quantize

__all__ = ["best_step"]

CANDIDATES = 48
FEWEST_LEVELS = 0.15
MAX_VALUES = 1 << 16


def best_step(rows: Tensor, low: int, high: int) -> Tensor:
    """Find each row's step with the least squared quantization error.

    Steps are tried on a grid, from the one that just reaches the greatest magnitude downwards.

    Parameters
    ----------
    rows : Tensor of float, shape (R, N)
        Values that share a step, row by row; of more than 65536, evenly spaced ones are looked at.
    low, high : int
        Range of the integers.

    Returns
    -------
    Tensor of float, shape (R,)
        Positive; ``1 / high`` for a row of zeros.

    Notes
    -----
    **Deviation** from LSQ's ``2 mean|x| / sqrt(high)``: with many bits that gives a range several
    times too wide (32 mean|x| for 8 bits), and training few epochs does not win it back.
    """
    rows = rows.detach()
    stride = -(-rows.shape[1] // MAX_VALUES)
    peak = torch.maximum(rows.amax(1) / high, rows.amin(1) / min(low, -1)).clamp_min(0)
    rows = rows[:, ::stride]
    dead = peak == 0
    best = torch.where(dead, 1 / high, peak)
    least = torch.full_like(best, torch.inf)
    for factor in torch.linspace(1.0, FEWEST_LEVELS, CANDIDATES).tolist():
        step = torch.where(dead, 1 / high, peak * factor)[:, None]
        error = ((quantize(rows, step, low, high) * step - rows) ** 2).sum(1)
        better = error < least
        best = torch.where(better, step[:, 0], best)
        least = torch.where(better, error, least)
    return best

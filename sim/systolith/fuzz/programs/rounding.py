"""How much rounding changes what a model computes, estimated with noise."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

__all__ = ["effect_of_rounding"]

DRAWS, SEED = 8, 0
MARGIN = 4.0
"""Weights and scales are rounded, too, and errors of a layer may have one sign."""


def effect_of_rounding(model: nn.Module, images: Tensor, bits: int) -> float:
    """Estimate the largest error that rounding every tensor to `bits` bits makes.

    Rounding moves outputs little in most models, but far where small outputs are differences of
    large values. So a fixed bound would call some right results wrong, or some wrong results right.

    Parameters
    ----------
    model : Module
        Not changed.
    images : Tensor, shape (N, ...)
    bits : int

    Returns
    -------
    float
        Relative to the largest output: a few times the largest change that uniform noise, of one
        unit of the last bit on the result of every function, makes in some runs.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        exact = model(images.clone())
        largest = 0.0
        for _ in range(DRAWS):
            with _Noise(bits):
                noisy = model(images.clone())
            largest = max(largest, float((noisy - exact).abs().max()))
    return MARGIN * largest / float(exact.abs().max())


class _Noise(TorchFunctionMode):
    """Add noise to every floating-point tensor that a function returns."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self._units = 2**bits - 1

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not isinstance(result, Tensor) or not result.is_floating_point() or not result.numel():
            return result
        unit = result.detach().abs().max() / self._units
        return result + unit * (2 * torch.rand_like(result) - 1)

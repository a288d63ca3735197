"""How much rounding changes what a model computes, estimated with noise."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = ["effect_of_rounding"]

DRAWS, SEED = 8, 0
MARGIN = 4.0
"""Errors of a layer may have one sign, and the largest of a few draws is not the largest."""


def effect_of_rounding(model: nn.Module, images: Tensor, bits: int) -> list[float]:
    """Estimate the largest error of each output that rounding every tensor to `bits` bits makes.

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
    list of float
        For each output, relative to its largest value: a few times the largest change that uniform
        noise, of one unit of the last bit on the parameters and on the result of every function,
        makes in some runs.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        exact = tree_leaves(model(images.clone()))
        largest = [0.0] * len(exact)
        for _ in range(DRAWS):
            with _Noise(bits):
                noisy = tree_leaves(model(images.clone()))
            changes = [(one - other).abs().max() for one, other in zip(noisy, exact, strict=True)]
            largest = [max(pair) for pair in zip(largest, map(float, changes), strict=True)]
    return [
        MARGIN * change / float(output.abs().max())
        for change, output in zip(largest, exact, strict=True)
    ]


class _Noise(TorchFunctionMode):
    """Add noise to the parameters that functions read, and to the tensors that they return."""

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
        read = tree_map_only(nn.Parameter, self._noisy, (tuple(args), dict(kwargs or {})))
        return tree_map_only(Tensor, self._noisy, func(*read[0], **read[1]))

    def _noisy(self, values: Tensor) -> Tensor:
        if not values.is_floating_point() or not values.numel():
            return values
        unit = values.detach().abs().max() / self._units
        noisy: Tensor = values + unit * (2 * torch.rand_like(values) - 1)
        return noisy

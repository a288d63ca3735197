"""Cycles per frame as a function of the patterns of a network's layers."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import Tensor, nn

from systolith.frontend import lower
from systolith.network import Conv2d, Linear, NetworkError, Pattern
from systolith.plan import (
    PlanError,
    Workload,
    choose_arrays,
    engine_problems,
    least_cycles,
    workload_of,
)
from systolith.quant import QuantConfig, prepare

__all__ = ["CycleCost", "apply_pattern"]


class CycleCost:
    """Cycles per frame that the planner's arrays need, as a function of patterns by layer.

    Arrays and cycles are those of :func:`systolith.plan.plan_network`, for every kind of layer with
    weights and every pattern. Pools, additions and streams are assumed to keep pace. Each layer is
    planned once per pattern.

    Parameters
    ----------
    model : nn.Module
    images : Tensor, shape (N, C, H, W)
        Calibration images; cycles depend on their shape only.
    multipliers : int
        Multipliers of all PE arrays together.

    """

    def __init__(self, model: nn.Module, images: Tensor, multipliers: int) -> None:
        signed = bool((images < 0).any())
        quantized = prepare(model, images, QuantConfig(input_signed=signed))
        self.quantized, self.multipliers = quantized, multipliers
        self.network = lower(quantized)
        self.layers = {
            quantized.origins[layer.name]: layer
            for layer in self.network.layers
            if isinstance(layer, Linear | Conv2d)
        }
        self._works: dict[tuple[str, Pattern], Workload] = {}

    def __call__(self, patterns: Mapping[str, Pattern]) -> float:
        """Return cycles per frame with these patterns by layer name; other layers are dense.

        Raises
        ------
        PlanError
            If no engine computes a layer under its pattern.
        """
        works = [self._work(name, patterns.get(name, Pattern())) for name in self.layers]
        arrays = choose_arrays(works, {}, self.multipliers)
        return float(max(least_cycles(work, arrays[work.name]) for work in works))

    def problems(self, name: str, pattern: Pattern) -> Iterator[str]:
        """Say why no engine computes a layer under a pattern; yields nothing if one does."""
        try:
            layer = self._layer(name, pattern)
        except NetworkError as error:
            yield from error.problems
        else:
            yield from engine_problems(self.network, layer)

    def _work(self, name: str, pattern: Pattern) -> Workload:
        if (name, pattern) not in self._works:
            if problems := list(self.problems(name, pattern)):
                raise PlanError(problems)
            self._works[name, pattern] = workload_of(self.network, self._layer(name, pattern))
        return self._works[name, pattern]

    def _layer(self, name: str, pattern: Pattern) -> Conv2d | Linear:
        layer = self.layers[name]
        return apply_pattern(layer, self.quantized.network_pattern(layer.name, pattern))


def apply_pattern(layer: Conv2d | Linear, pattern: Pattern) -> Conv2d | Linear:
    """Mask a layer's weights: of each group, those of greatest magnitude are kept."""
    mask = pattern.best_mask(abs(layer.weight).reshape(layer.weight_shape))
    mask = mask.reshape(layer.weight.shape)
    return replace(
        layer,
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
        weight=layer.weight * mask,
    )

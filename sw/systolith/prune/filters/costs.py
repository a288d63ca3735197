"""What a network costs, layer by layer, and what it would cost with fewer filters."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from systolith.prune.filters.following import evaluating
from systolith.prune.filters.groups import ChannelGroup

__all__ = ["Cost", "KeptCost", "LayerCost", "count", "macs_after", "parameters_after"]

KeptCost = Callable[[Mapping[str, int]], float]
"""Cost of a network of which so many units are kept, by group name; other groups are whole.

It never grows when less is kept.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """Of one module.

    Parameters
    ----------
    parameters : int
        All of its own, trained or not.
    macs : int
        Multiplications with weights for one image.
    """

    parameters: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of a network: the sum over its modules.

    Parameters
    ----------
    layers : mapping of str to LayerCost
        By name, of modules that have parameters.
    """

    layers: Mapping[str, LayerCost]

    @property
    def parameters(self) -> int:
        """All parameters."""
        return sum(layer.parameters for layer in self.layers.values())

    @property
    def macs(self) -> int:
        """Multiplications with weights for one image; batch norms can be folded and have none."""
        return sum(layer.macs for layer in self.layers.values())


def count(model: nn.Module, images: Tensor) -> Cost:
    """Count parameters and MACs, layer by layer.

    Parameters
    ----------
    model : nn.Module
        Not changed.
    images : Tensor of float, shape (N, C, H, W)
        Only their shape matters.

    Examples
    --------
    >>> import torch
    >>> cost = count(nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 4, 4))
    >>> cost.parameters, cost.macs
    (224, 3456)
    """
    macs: Counter[str] = Counter()
    device = next((parameter.device for parameter in model.parameters()), images.device)
    with ExitStack() as hooks, evaluating(model):
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):

                def add(module: nn.Module, given: Any, output: Tensor, name: str = name) -> None:
                    weight = module.get_parameter("weight")
                    macs[name] += output[0].numel() * weight[0].numel()

                hooks.enter_context(module.register_forward_hook(add))
        model(images[:1].to(device))
    layers = {}
    for name, module in model.named_modules():
        parameters = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if parameters or name in macs:
            layers[name] = LayerCost(parameters=parameters, macs=macs[name])
    return Cost(layers=MappingProxyType(layers))


def macs_after(model: nn.Module, groups: Iterable[ChannelGroup], images: Tensor) -> KeptCost:
    """MACs for one image, as a function of how many units of each group are kept."""
    axes, layers = _axes(groups), count(model, images).layers

    def macs(kept: Mapping[str, int]) -> float:
        return sum(
            layer.macs * axes.output_share(name, kept) * axes.input_share(name, kept)
            for name, layer in layers.items()
        )

    return macs


def parameters_after(model: nn.Module, groups: Iterable[ChannelGroup], images: Tensor) -> KeptCost:
    """Parameters, as a function of how many units of each group are kept."""
    axes, layers = _axes(groups), count(model, images).layers
    weights = {
        name: module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }

    def parameters(kept: Mapping[str, int]) -> float:
        total = 0.0
        for name, layer in layers.items():
            matrix = weights.get(name, 0)
            vectors = layer.parameters - matrix
            share = axes.output_share(name, kept)
            total += share * (vectors + matrix * axes.input_share(name, kept))
        return total

    return parameters


_Parts = Mapping[str, tuple[tuple[str, float], ...]]
"""By module: names of groups, and the share of the module's channels that one unit has."""


@dataclass(frozen=True, slots=True)
class _Axes:
    sizes: Mapping[str, int]
    outputs: _Parts
    inputs: _Parts

    def output_share(self, name: str, kept: Mapping[str, int]) -> float:
        return self._share(self.outputs.get(name, ()), kept)

    def input_share(self, name: str, kept: Mapping[str, int]) -> float:
        return self._share(self.inputs.get(name, ()), kept)

    def _share(self, parts: tuple[tuple[str, float], ...], kept: Mapping[str, int]) -> float:
        return 1.0 - sum(
            unit * (self.sizes[group] - kept[group]) for group, unit in parts if group in kept
        )


def _axes(groups: Iterable[ChannelGroup]) -> _Axes:
    groups = tuple(groups)
    sizes = {group.name: group.size for group in groups}
    return _Axes(
        sizes,
        _parts((group, group.outputs) for group in groups),
        _parts((group, group.inputs) for group in groups),
    )


def _parts(where: Iterable[tuple[ChannelGroup, Mapping[str, tuple[int, ...]]]]) -> _Parts:
    result: dict[str, tuple[tuple[str, float], ...]] = {}
    for group, modules in where:
        for name, units in modules.items():
            here = sum(unit >= 0 for unit in units)
            part = group.name, here / group.size / len(units)
            result[name] = (*result.get(name, ()), part)
    return result

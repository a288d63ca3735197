"""Costs of a network by layer, and its costs with fewer filters."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from systolith.foundation import kind_problems
from systolith.prune.errors import PruneError
from systolith.prune.filters.groups import ChannelGroup
from systolith.prune.filters_first import Convolution, Transposed
from systolith.trace import evaluating

__all__ = ["Cost", "KeptCost", "LayerCost", "count_costs", "macs_after", "parameters_after"]

KeptCost = Callable[[Mapping[str, int]], float]
"""Function from numbers of kept units, by group name, to the cost of the network.

Groups that are not named are whole. The cost never grows when fewer units are kept.
"""

_WEIGHTED = Convolution | nn.Linear


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCost:
    """Cost of one module.

    Parameters
    ----------
    parameters : int
        Number of its own parameters, trained or not.
    macs : int
        Multiplications with weights for one image.
    """

    parameters: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Cost of a network: the sum over its modules.

    Parameters
    ----------
    layers : mapping of str to LayerCost
        Modules that have parameters, by name.
    """

    layers: Mapping[str, LayerCost]

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(layer.parameters for layer in self.layers.values())

    @property
    def macs(self) -> int:
        """Multiplications with weights for one image; batch norms are folded and have none."""
        return sum(layer.macs for layer in self.layers.values())


def count_costs(model: nn.Module, images: Tensor) -> Cost:
    """Count parameters and MACs, layer by layer.

    Parameters
    ----------
    model : nn.Module
        It is not changed.
    images : Tensor of float, shape (N, C, H, W)
        Only their shape matters; at least one.

    Raises
    ------
    PruneError
        If the model or the images have a wrong type, or there are no images, or they do not fit the
        model.

    Examples
    --------
    >>> import torch
    >>> cost = count_costs(nn.Conv2d(3, 8, 3, padding=1), torch.zeros(1, 3, 4, 4))
    >>> cost.parameters, cost.macs
    (224, 3456)
    """
    PruneError.raise_if_any(_argument_problems(model, images))
    macs: Counter[str] = Counter()
    device = next((parameter.device for parameter in model.parameters()), images.device)
    with ExitStack() as hooks, evaluating(model):
        for name, module in model.named_modules():
            if isinstance(module, _WEIGHTED):

                def add(module: nn.Module, given: Any, output: Tensor, name: str = name) -> None:
                    weight = module.get_parameter("weight")
                    # Each value that a transposed convolution reads meets weights[channel].
                    values = given[0] if isinstance(module, Transposed) else output
                    macs[name] += values[0].numel() * weight[0].numel()

                hooks.enter_context(module.register_forward_hook(add))
        try:
            model(images[:1].to(device))
        except Exception as error:  # the model's code may raise anything
            reason = str(error) or type(error).__name__
            problem = f"{images.dtype} images of shape {tuple(images.shape)} do not fit the model"
            raise PruneError([f"{problem}: {reason}"]) from error
    layers = {}
    for name, module in model.named_modules():
        parameters = sum(parameter.numel() for parameter in module.parameters(recurse=False))
        if parameters or name in macs:
            layers[name] = LayerCost(parameters=parameters, macs=macs[name])
    return Cost(layers=MappingProxyType(layers))


def _argument_problems(model: object, images: object) -> Iterator[str]:
    yield from kind_problems("model", model, nn.Module)
    yield from kind_problems("images", images, Tensor)
    if isinstance(images, Tensor) and not len(images):
        yield "counting MACs needs at least one image, got none"


def macs_after(model: nn.Module, groups: Iterable[ChannelGroup], images: Tensor) -> KeptCost:
    """MACs for one image, as a function of how many units of each group are kept."""
    widths, layers = _widths(groups), count_costs(model, images).layers

    def macs(kept: Mapping[str, int]) -> float:
        total = 0.0
        for name, layer in layers.items():
            outputs, inputs = widths[name]
            matrix = layer.macs * outputs.kept(kept) * inputs.kept(kept)
            total += matrix / (outputs.channels * inputs.channels)
        return total

    return macs


def parameters_after(model: nn.Module, groups: Iterable[ChannelGroup], images: Tensor) -> KeptCost:
    """Parameters, as a function of how many units of each group are kept.

    Exact if all units of a group have as many channels as each other in every module; a grouped
    convolution behind a wider one can make them uneven, and then this is an average.
    """
    widths, layers = _widths(groups), count_costs(model, images).layers
    weights = {
        name: module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, _WEIGHTED)
    }

    def parameters(kept: Mapping[str, int]) -> float:
        total = 0.0
        for name, layer in layers.items():
            outputs, inputs = widths[name]
            matrix = weights.get(name, 0)
            vectors = layer.parameters - matrix
            rows = (vectors * inputs.channels + matrix * inputs.kept(kept)) * outputs.kept(kept)
            total += rows / (outputs.channels * inputs.channels)
        return total

    return parameters


@dataclass(slots=True)
class _Width:
    """Channels of a module on one side, and the groups that they belong to."""

    channels: int = 1
    parts: list[tuple[str, int, int]] = field(default_factory=list)
    """Name of a group, its size, and its number of channels in the module."""

    def kept(self, kept: Mapping[str, int]) -> float:
        # A removed unit takes its share; whole numbers stay exact.
        return self.channels - sum(
            here * (size - kept[group]) / size for group, size, here in self.parts if group in kept
        )


def _widths(groups: Iterable[ChannelGroup]) -> Mapping[str, tuple[_Width, _Width]]:
    """Outputs and inputs of each module."""
    result: dict[str, tuple[_Width, _Width]] = defaultdict(lambda: (_Width(), _Width()))
    for group in groups:
        for side, modules in enumerate((group.outputs, group.inputs)):
            for name, units in modules.items():
                width = result[name][side]
                width.channels = len(units)
                here = sum(unit >= 0 for unit in units)
                width.parts.append((group.name, group.size, here))
    return result

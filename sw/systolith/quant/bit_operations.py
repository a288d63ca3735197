"""Bit operations: each multiplication counts as the product of its operands' widths."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from systolith.prune import ChannelGroup, count_costs
from systolith.quant.config import UnsupportedModelError
from systolith.quant.recognition import FloatLayer, read_network
from systolith.quant.recognition.operations import (
    AddUp,
    AveragePool,
    Convolve,
    MatrixMultiply,
    Product,
)

__all__ = ["LayerOperations", "layer_operations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOperations:
    """Operations of a convolution or linear layer.

    Parameters
    ----------
    name : str
        Qualified module name.
    source : str
        Qualified (or readable) name of the layer that quantizes its input; empty for the network's
        input.
    macs : int
        For one image, unpruned.
    outputs, inputs : mapping of str to tuple of int
        By name of channel group: the unit of each channel, -1 if of another group.
    """

    name: str
    source: str
    macs: int
    outputs: Mapping[str, tuple[int, ...]]
    inputs: Mapping[str, tuple[int, ...]]

    def bit_operations(
        self, kept: Mapping[str, Tensor], weight_bits: float | Tensor, act_bits: float | Tensor
    ) -> Tensor:
        """Multiply the remaining MACs by the widths of weight and activation; float64, shape ().

        Parameters
        ----------
        kept : mapping of str to Tensor, shape (size,)
            By name of channel group: 1 or True for kept units, 0 for removed ones, or between.
        weight_bits, act_bits : float or Tensor
            Differentiable if tensors.
        """
        shares = _share(self.outputs, kept) * _share(self.inputs, kept)
        return self.macs * shares * weight_bits * act_bits


def layer_operations(
    model: nn.Module, groups: Iterable[ChannelGroup], images: Tensor
) -> tuple[LayerOperations, ...]:
    """List the layers of a float model that multiply.

    Parameters
    ----------
    model : nn.Module
        A model that :func:`systolith.quant.prepare` accepts.
    groups : iterable of ChannelGroup
        Groups of the model; only removable ones matter.
    images : Tensor of float32, shape (N, C, H, W)
        Only their shape matters.

    Raises
    ------
    UnsupportedModelError
        Lists every layer without an integer form.
    """
    removable = [group for group in groups if group.removable]
    on_gpu = next(model.parameters()).device.type != "cpu"
    read = deepcopy(model).cpu() if on_gpu else model  # only names are used
    layers = {layer.name: layer for layer in read_network(read, images.cpu()).layers}
    cost = count_costs(model, images)
    UnsupportedModelError.raise_if_any(
        f"'{layer.name}': needs a module that is called once, to learn its width"
        for layer in layers.values()
        if isinstance(layer.operation, Convolve | MatrixMultiply)
        and layer.qualified_name not in cost.layers
    )
    return tuple(
        LayerOperations(
            name=layer.qualified_name,
            source=_source(layer, layers),
            macs=cost.layers[layer.qualified_name].macs,
            outputs=_units(layer, {group.name: group.outputs for group in removable}),
            inputs=_units(layer, {group.name: group.inputs for group in removable}),
        )
        for layer in layers.values()
        if isinstance(layer.operation, Convolve | MatrixMultiply)
    )


def _source(layer: FloatLayer, layers: Mapping[str, FloatLayer]) -> str:
    """Name of the layer before that requantizes; max pools and flattening do not."""
    while (before := layers.get(layer.inputs[0])) is not None:
        if isinstance(before.operation, Convolve | MatrixMultiply | AddUp | Product | AveragePool):
            return before.qualified_name
        layer = before
    return ""


def _units(
    layer: FloatLayer, groups: Mapping[str, Mapping[str, tuple[int, ...]]]
) -> dict[str, tuple[int, ...]]:
    return {
        name: modules[layer.qualified_name]
        for name, modules in groups.items()
        if layer.qualified_name in modules
    }


def _share(channels: Mapping[str, tuple[int, ...]], kept: Mapping[str, Tensor]) -> Tensor:
    """Share of a layer's channels that are kept, on one side of it."""
    result = torch.ones((), dtype=torch.float64)
    for name, units in channels.items():
        if name in kept:
            index = torch.tensor(units, device=kept[name].device)
            here = kept[name].double()[index.clamp(min=0)]
            # Every channel belongs to one group.
            result = result.to(here) * torch.where(index >= 0, here, 1.0)
    return result.mean()

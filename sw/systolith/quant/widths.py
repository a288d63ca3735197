"""Widths and signs of the results of layers."""

from collections.abc import Mapping

from systolith.network import INPUT
from systolith.quant.config import LayerBits, QuantConfig
from systolith.quant.recognition import (
    FloatLayer,
)
from systolith.quant.recognition.operations import (
    AddUp,
    AveragePool,
    Convolve,
    LookUp,
    MatrixMultiply,
    Product,
)
from systolith.quant.sharing import SharedSteps, ends_of
from systolith.trace import is_nonnegative

__all__ = ["QUANTIZES", "bits_of", "find_signs", "result_bits"]


QUANTIZES = Convolve | MatrixMultiply | AddUp | Product | AveragePool | LookUp
"""Operations with results of their own width."""


def bits_of(layer: FloatLayer, config: QuantConfig) -> LayerBits:
    """Look up the widths that a configuration gives a layer or its module."""
    layers = config.layers
    names = layer.qualified_name, layer.name, layer.module
    return next((layers[name] for name in names if name in layers), LayerBits())


def result_bits(layers: list[FloatLayer], config: QuantConfig) -> dict[str, int]:
    """Width of the results of each layer with an accumulator."""
    ends, widths = ends_of(layers), {}
    for layer in layers:
        if isinstance(layer.operation, QUANTIZES):
            usual = config.output_bits if layer.name in ends else config.act_bits
            own = bits_of(layer, config).act_bits
            widths[layer.name] = usual if own is None else own
    return widths


def find_signs(shared: SharedSteps, input_signed: bool) -> dict[str, bool]:
    """Find which results are signed; those that share a step are if any of them is."""
    signed = {INPUT: input_signed} | {layer.name: False for layer in shared.layers}
    before: dict[str, bool] = {}
    while before != signed:
        before = dict(signed)
        for layer in shared.layers:
            signed[layer.name] |= _is_signed(layer, signed)
            owner = shared.owners.get(layer.name, layer.name)
            signed[owner] |= signed[layer.name]
            signed[layer.name] |= signed[owner]
    return signed


def _is_signed(layer: FloatLayer, signed: Mapping[str, bool]) -> bool:
    """Whether a layer alone gives negative values, given the signs of its inputs."""
    if layer.activation.rectifies:
        return False
    if isinstance(layer.operation, Convolve | MatrixMultiply):
        return True
    if isinstance(layer.operation, LookUp):
        return not is_nonnegative(layer.operation.function, signed=signed[layer.inputs[0]])
    return any(signed[name] for name in layer.inputs)

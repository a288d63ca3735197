"""Steps that layers share because their results are joined.

A concatenation has one step for all its channels. The layers whose results it joins share one
quantizer, so that nothing is rescaled. Where they cannot, because one of them is the input of the
network or has another width, an average pool of 1x1 rescales a tensor in front of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from systolith.network import INPUT
from systolith.quant.recognition.operations import (
    AveragePool,
    DepthToPixels,
    Enlarge,
    Extend,
    FloatLayer,
    Join,
    LookUp,
    MaxPool,
    Pad,
    PixelsToDepth,
    TakeChannels,
    ToVectors,
)

__all__ = ["SharedSteps", "ends_of", "share_steps"]

_PASSING = MaxPool | Pad | Enlarge | Extend | ToVectors | Join | TakeChannels
_PASSING |= DepthToPixels | PixelsToDepth
"""Operations whose results have the step of their inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedSteps:
    """Layers with rescalings in front of concatenations, and the steps that they share.

    Attributes
    ----------
    layers : list of FloatLayer
    owners : dict of str to str
        For each layer with an accumulator, the first layer that has its step.
    bits : dict of str to int
        Width of the results of these layers.
    notes : tuple of str
        What is rescaled, and why.
    """

    layers: list[FloatLayer]
    owners: dict[str, str]
    bits: dict[str, int]
    notes: tuple[str, ...]


def share_steps(layers: Sequence[FloatLayer], bits: Mapping[str, int]) -> SharedSteps:
    """Find the layers that share steps, and insert rescalings where they cannot.

    Parameters
    ----------
    layers : sequence of FloatLayer
        Each comes after its inputs.
    bits : mapping of str to int
        Width of the result of each layer with an accumulator.
    """
    return _Sharing(bits).share(layers)


def ends_of(layers: Sequence[FloatLayer]) -> set[str]:
    """Find the layers with an accumulator whose steps are those of results that no layer reads.

    Tables read few bits, so layers whose values a table reads, too, are none.
    """
    read = {name for layer in layers for name in layer.inputs}
    tabled = {layer.inputs[0] for layer in layers if isinstance(layer.operation, LookUp)}
    unread = {layer.name for layer in layers} - read
    return _accumulating(layers, unread) - _accumulating(layers, tabled)


def _accumulating(layers: Sequence[FloatLayer], names: Iterable[str]) -> set[str]:
    """Find the layers with an accumulator that compute the values of layers."""
    by_name = {layer.name: layer for layer in layers}
    results, waiting = set(), list(names)
    while waiting:
        layer = by_name.get(waiting.pop())
        if layer is None:
            continue
        if isinstance(layer.operation, _PASSING):
            waiting += layer.inputs
        else:
            results.add(layer.name)
    return results


class _Sharing:
    def __init__(self, bits: Mapping[str, int]) -> None:
        self.bits = dict(bits)
        self.layers: list[FloatLayer] = []
        self.notes: list[str] = []
        self.owners = {name: name for name in bits}
        self.steps: dict[str, str] = {INPUT: INPUT}
        """Some layer whose step each tensor has."""

    def share(self, layers: Sequence[FloatLayer]) -> SharedSteps:
        for layer in layers:
            if isinstance(layer.operation, Join):
                layer = self._join(layer)
            self.layers.append(layer)
            passes = isinstance(layer.operation, _PASSING)
            self.steps[layer.name] = self.steps[layer.inputs[0]] if passes else layer.name
        return SharedSteps(
            layers=self.layers,
            owners={name: self._owner(name) for name in self.owners},
            bits=self.bits,
            notes=tuple(self.notes),
        )

    def _owner(self, name: str) -> str:
        while self.owners.get(name, name) != name:
            name = self.owners[name]
        return name

    def _join(self, layer: FloatLayer) -> FloatLayer:
        """Give all inputs of a concatenation one step."""
        owners = [self._owner(self.steps[name]) for name in layer.inputs]
        if len(set(owners)) == 1:
            return layer
        widest = max(self.bits[owner] for owner in owners if owner != INPUT)
        inputs = []
        for name, owner in zip(layer.inputs, owners, strict=True):
            if owner == INPUT or self.bits[owner] != widest:
                name, owner = self._rescale(layer, name, owner, widest)
            inputs.append((name, owner))
        first = self._owner(inputs[0][1])
        for _, owner in inputs:
            self.owners[self._owner(owner)] = first
        return replace(layer, inputs=tuple(name for name, _ in inputs))

    def _rescale(self, layer: FloatLayer, name: str, owner: str, bits: int) -> tuple[str, str]:
        """Insert a rescaling of a tensor in front of a concatenation."""
        rescaled = f"{layer.name}_rescaled_{name}"
        if rescaled not in self.bits:
            reason = "is the input" if owner == INPUT else f"has {self.bits[owner]} bits"
            self.notes.append(
                f"{layer.title}: '{name}' is rescaled in front of it, because it {reason}; the "
                f"others share one step of {bits} bits"
            )
            self.layers.append(
                FloatLayer(
                    name=rescaled,
                    qualified_name=rescaled,
                    operation=AveragePool((1, 1), (1, 1), (0, 0, 0, 0)),
                    inputs=(name,),
                    title=layer.title,
                )
            )
            self.bits[rescaled], self.owners[rescaled] = bits, rescaled
            self.steps[rescaled] = rescaled
        return rescaled, rescaled

"""Real scales for the tensors of an integer network, so that float graphs compute the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite, prod

from systolith.exchange.errors import ExchangeError
from systolith.network import (
    INPUT,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Linear,
    MaxPool2d,
    Requantize,
)

__all__ = ["offset_by", "real_scales", "requantized_by"]


@dataclass(slots=True)
class _Related:
    """Tensors whose scales depend on each other: each a factor times that of a common root."""

    root: dict[str, str]
    factor: dict[str, Fraction]

    def relate(self, a: str, b: str, ratio: Fraction) -> None:
        """Let the scale of `b` be `ratio` times that of `a`, if nothing else was said of them."""
        if self.root[a] == self.root[b]:
            return
        moved, onto = self.root[b], self.root[a]
        by = self.factor[a] * ratio / self.factor[b]
        for name, root in self.root.items():
            if root == moved:
                self.root[name] = onto
                self.factor[name] *= by


def real_scales(network: IntegerNetwork, input_scale: float = 1.0) -> Mapping[str, Fraction]:
    """Choose what one unit of each tensor stands for.

    Layers with weights can give any scale; pools and additions cannot choose theirs. Where branches
    ask for several, the first wins, and the others need a multiplication.

    Parameters
    ----------
    network : IntegerNetwork
    input_scale : float
        Of the network's input.

    Returns
    -------
    dict of str to Fraction
        By tensor, ``"input"`` included.

    Raises
    ------
    ExchangeError
        If `input_scale` is not positive.
    """
    if not (isfinite(input_scale) and input_scale > 0):
        raise ExchangeError([f"input_scale must be a positive number, got {input_scale:g}"])
    names = list(network.tensors)
    found = _Related(root={name: name for name in names}, factor=dict.fromkeys(names, Fraction(1)))
    for layer in network.layers:
        match layer:
            case Add():
                a, b = layer.inputs
                ratio = Fraction(layer.multipliers[1], layer.multipliers[0])
                found.relate(a, b, ratio)
                unit = Fraction(1, layer.multipliers[0])
                found.relate(a, layer.name, unit / requantized_by(layer.requantize))
            case AvgPool2d():
                area = prod(layer.window(network.tensors[layer.input].shape))
                found.relate(layer.input, layer.name, 1 / (area * requantized_by(layer.requantize)))
            case MaxPool2d() | Flatten():
                found.relate(layer.input, layer.name, Fraction(1))
            case Conv2d() | Linear():
                pass
    at_input = Fraction(input_scale) / found.factor[INPUT]
    return {
        name: found.factor[name] * (at_input if found.root[name] == found.root[INPUT] else 1)
        for name in names
    }


def offset_by(spec: Requantize, channel: int = 0) -> Fraction:
    """What is added to a channel's accumulators when they are multiplied, in output units."""
    offset = 0 if spec.offset is None else int(spec.offset[channel % spec.offset.size])
    return Fraction(offset, 1 << int(spec.shift[channel % spec.shift.size]))


def requantized_by(spec: Requantize, channel: int = 0) -> Fraction:
    """What a channel's accumulators are multiplied by; 1 for channels that are always 0."""
    multiplier = int(spec.multiplier[channel % spec.multiplier.size])
    return Fraction(multiplier or 1, 1 << int(spec.shift[channel % spec.shift.size]))

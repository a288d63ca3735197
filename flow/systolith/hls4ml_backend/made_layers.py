"""The layers of an integer network that were made while a graph is mapped, and their names."""

import re
from collections.abc import Sequence

from systolith.hls4ml_backend.tensors import PendingTensor
from systolith.network import INPUT, ActType, IntegerNetwork, Layer, Shape, Tensor

__all__ = ["MadeLayers"]

TAKEN = {f"o_{number}" for number in range(64)} | {
    INPUT,
    "i",
    "o",
    "clk",
    "rst",
    "load",
    "loaded",
    "overflow",
}
"""Signal names of the design that no layer may have."""


class MadeLayers:
    """The layers, tensors and problems so far.

    Attributes
    ----------
    problems : list of str
    layers : list of Layer
    tensors : dict of str to Tensor
        By name of the layer that computes it, the input included.
    origins : dict of str to str
        Layer of hls4ml, by layer of the network.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.layers: list[Layer] = []
        self.tensors: dict[str, Tensor] = {}
        self.origins: dict[str, str] = {}
        self._names = set(TAKEN)

    def add_input(self, tensor: Tensor) -> None:
        """Set the network's input."""
        self.tensors[INPUT] = tensor

    def refuse(self, layer: str, problem: str) -> None:
        """Report a problem of a layer, once."""
        text = f"layer '{layer}': {problem}"
        if text not in self.problems:
            self.problems.append(text)

    def keep(self, made: Layer, shape: Shape, output: ActType) -> None:
        """Append a layer whose output has this shape and type."""
        self.layers.append(made)
        self.tensors[made.name] = Tensor(shape, output)

    def type_of(self, value: PendingTensor) -> ActType:
        """Give the type of a tensor of the network."""
        return self.tensors[value.source].type

    def claim_name(self, layer: str) -> str:
        """Choose an unused name for a layer."""
        base = _identifier(layer)
        name, number = base, 2
        while name in self._names:
            name, number = f"{base}_{number}", number + 1
        self._names.add(name)
        self.origins[name] = layer
        return name

    def make_network(self, outputs: Sequence[str], name: str) -> IntegerNetwork:
        """Make the network; raises NetworkError if its layers do not fit together."""
        return IntegerNetwork(
            input=self.tensors[INPUT],
            layers=tuple(self.layers),
            outputs=tuple(outputs),
            name=_identifier(name),
        )


def _identifier(name: str) -> str:
    text = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"n{text}" if not text or text[0].isdigit() else text

"""An integer network in the making: layers are added as their quantizers are met."""

import re
from dataclasses import dataclass, field, replace

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.quantizing import InputQuantizer, Quantizer, Requantized, requantized
from systolith.exchange.values import Activation, Follow, Images, Pending
from systolith.network import (
    INPUT,
    MAX_MULTIPLIER_BITS,
    ActType,
    Layer,
    Tensor,
    signed_bits,
)

__all__ = ["Building"]

OUTPUT_BITS = 16
"""Of results that the model does not quantize."""


@dataclass(slots=True, kw_only=True)
class Building:
    """Layers of the contract, made so far.

    Attributes
    ----------
    layers : list of Layer
    units : dict of str to float
        By layer: by how many units its result may differ before it is rounded, given the same
        input; 0 where the arithmetic is the same.
    multiplier_bits : int
        Of requantizers.
    input : InputQuantizer or None
        Once it is known.
    """

    multiplier_bits: int = MAX_MULTIPLIER_BITS
    input: InputQuantizer | None = None
    layers: list[Layer] = field(default_factory=list)
    units: dict[str, float] = field(default_factory=dict)

    def take(self, images: Images, quantizer: Quantizer) -> Activation:
        """Quantize the images: what the host does, before the network.

        Raises
        ------
        ExchangeError
            If they are quantized in another way already.
        """
        quantizer = quantizer.within(images.low, images.high)
        found = InputQuantizer(
            scale=images.scale,
            offset=images.offset,
            low=images.low,
            high=images.high,
            quantizer=quantizer,
        )
        if self.input is not None and not self.input.same(found):
            raise ExchangeError(["quantizes the model's input in another way than a node before"])
        self.input = found
        tensor = Tensor(images.shape, quantizer.type)
        return Activation(layer=INPUT, tensor=tensor, scale=quantizer.scale)

    def quantize(self, pending: Pending, quantizer: Quantizer) -> Activation:
        """Make the layer that was waiting, and what follows it.

        Raises
        ------
        ExchangeError
            If the contract has no such arithmetic.
        """
        if pending.clipped:
            quantizer = quantizer.within(pending.low, pending.high)
        found = requantized(pending, quantizer, self.multiplier_bits)
        if not isinstance(found, Requantized):
            raise ExchangeError(found)
        name = self._name(pending.name)
        self.layers.append(pending.emit(name, found.bias, found.spec, quantizer.type))
        self.units[name] = found.units
        made = Activation(
            layer=name, tensor=Tensor(pending.shape, quantizer.type), scale=quantizer.scale
        )
        for follow in pending.then:
            made = self.follow(pending.name, made, follow)
        return made

    def follow(self, node: str, x: Activation, make: Follow) -> Activation:
        """Add a layer that keeps types."""
        name = self._name(node)
        layer = make(name, x.layer)
        if problems := list(layer.problems([x.tensor.shape])):
            raise ExchangeError(problems)
        self.layers.append(layer)
        shape = layer.output_shape([x.tensor.shape])
        return replace(x, layer=name, tensor=Tensor(shape, x.tensor.type))

    def finish(self, pending: Pending) -> Activation:
        """Give a result that the model leaves unquantized as many bits as there are.

        All channels get one scale, a power of two times the accumulator's where these are equal:
        then nothing is lost but what does not fit 16 bits.
        """
        coarsest = float(pending.scale.max())
        low, high = pending.accumulated(np.rint(pending.offset / coarsest).astype(np.int64))
        surplus = max(signed_bits(low, high) - OUTPUT_BITS, 0)
        output = ActType(bits=OUTPUT_BITS, signed=True)
        return self.quantize(pending, Quantizer(scale=coarsest * 2.0**surplus, type=output))

    def _name(self, node: str) -> str:
        """A name that Verilog takes, and that no layer has yet."""
        plain = re.sub(r"\W+", "_", node, flags=re.ASCII).strip("_") or "layer"
        plain = plain if not plain[0].isdigit() else f"n{plain}"
        taken = {layer.name for layer in self.layers} | {INPUT}
        name, number = plain, 2
        while name in taken:
            name, number = f"{plain}_{number}", number + 1
        return name

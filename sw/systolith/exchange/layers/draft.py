"""An integer network in the making: layers are added as their quantizers are met."""

import re
from dataclasses import dataclass, field, replace
from math import isinf

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.values.open_types import (
    OUTPUT,
    choose_output_quantizer,
    choose_whole_quantizer,
)
from systolith.exchange.values.quantizer import InputQuantizer, Quantizer
from systolith.exchange.values.requantizers import Affine, FittedRequantizer, fit_requantizer
from systolith.exchange.values.scaling import has_true_ties
from systolith.exchange.values.value import (
    AppendLayer,
    ModelInput,
    PendingLayer,
    QuantizedActivation,
)
from systolith.network import (
    INPUT,
    MAX_MULTIPLIER_BITS,
    Layer,
    Tensor,
)

__all__ = ["Draft"]


@dataclass(slots=True, kw_only=True)
class Draft:
    """Layers of the contract, made so far.

    Attributes
    ----------
    layers : list of Layer
    units : dict of str to float
        By layer: by how many units its result may differ before it is rounded, given the same
        input; 0 where the arithmetic is the same.
    reals : dict of str to Affine
        By layer: what the file computes before it rounds.
    rounded : dict of str to float
        By layer whose result the model leaves unquantized and that has to be rounded all the same:
        to whole numbers of this.
    multiplier_bits : int
        Of requantizers.
    input_type : Quantizer or None
        Of float images that the file does not quantize.
    input : InputQuantizer or None
        Once it is known.
    input_given : bool
        Whether `input_type` quantizes it.
    notes : list of str
        What a user has to know of how the file was read.
    lenient : bool
        While a node is looked at that reads something a problem was reported about: then
        nothing is said of numbers that depend on that.
    """

    multiplier_bits: int = MAX_MULTIPLIER_BITS
    input_type: Quantizer | None = None
    input: InputQuantizer | None = None
    input_given: bool = False
    layers: list[Layer] = field(default_factory=list)
    units: dict[str, float] = field(default_factory=dict)
    reals: dict[str, Affine] = field(default_factory=dict)
    rounded: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lenient: bool = False
    cache: dict[tuple[PendingLayer | QuantizedActivation, Quantizer], QuantizedActivation] = field(
        default_factory=dict
    )

    def take(self, images: ModelInput) -> QuantizedActivation:
        """Read the images: what the host does before ends here.

        Raises
        ------
        ExchangeError
            If nothing quantizes them, or if they are read in another way already.
        """
        quantizer = images.quantizer or self.input_type
        if images.integer is not None and images.quantizer is None:
            raise ExchangeError(
                [f"reads integers, {images.integer}, as they come: put a DequantizeLinear before"]
            )
        if quantizer is None:
            raise ExchangeError(
                [
                    (
                        "its input is the model's float input: put a quantizer before, or "
                        "say what its integers are (--input-type int8:1/64, "
                        "import_onnx(..., input_type='int8:1/64'))"
                    )
                ]
            )
        places, order = images.places, None
        if places.ndim not in (1, 3):
            # Neither an image nor a vector: elements are what they are wherever they stand.
            order = np.arange(places.size).reshape(places.shape)
            images = images.move(np.ravel)
        quantizer = quantizer.narrow_to(images.low, images.high)
        found = InputQuantizer(
            shape=images.image,
            places=images.places,
            steps=images.steps,
            low=images.low,
            high=images.high,
            quantizer=quantizer,
            integer=images.integer,
        )
        if self.input is not None and not self.input.is_same(found) and not self.lenient:
            raise ExchangeError(
                [
                    (
                        "reads the model's input quantized or arranged in another way than a node "
                        "before; one way is supported: quantize it once, and move it after that"
                    )
                ]
            )
        self.input = found
        self.input_given = images.quantizer is None
        tensor = Tensor(images.places.shape, quantizer.type)
        return QuantizedActivation(layer=INPUT, tensor=tensor, scale=quantizer.scale, places=order)

    def quantize(self, pending: PendingLayer, quantizer: Quantizer) -> QuantizedActivation:
        """Make the layer that was waiting, and what follows it.

        Raises
        ------
        ExchangeError
            If the contract has no such arithmetic.
        """
        quantizer = quantizer.narrow_to(pending.low, pending.high)
        name = self._name(pending.name)
        tensor = Tensor(pending.shape, quantizer.type)
        if (
            any(pending.padding)
            and not quantizer.low <= quantizer.type.zero_point <= quantizer.high
        ):
            raise ExchangeError(["cuts off the zeros that an image was padded with before"])
        if not self.lenient:
            found = fit_requantizer(pending, quantizer, self.multiplier_bits)
            if not isinstance(found, FittedRequantizer):
                raise ExchangeError(found)
            self.layers.append(pending.make(name, found.bias, found.spec, quantizer.type))
            self.units[name] = found.units
            self.reals[name] = found.real
            if found.units and has_true_ties(pending, quantizer):
                self.notes.append(
                    f"layer '{name}' has true ties, sums that give half a step: the file rounds "
                    "them to even, the network may round them the other way"
                )
        draft = QuantizedActivation(layer=name, tensor=tensor, scale=quantizer.scale)
        for follow in pending.then:
            draft = self.follow(pending.name, draft, follow)
        return replace(draft, padding=pending.padding, places=pending.places)

    def quantized(
        self, x: PendingLayer | QuantizedActivation, quantizer: Quantizer, pending: PendingLayer
    ) -> QuantizedActivation:
        """Quantize `pending`, which `x` was read as, but once for all that read it."""
        key = (x, quantizer)
        if key not in self.cache or self.lenient:
            self.cache[key] = self.quantize(pending, quantizer)
        return self.cache[key]

    def follow(self, node: str, x: QuantizedActivation, make: AppendLayer) -> QuantizedActivation:
        """Add a layer that keeps types."""
        name = self._name(node)
        layer = make(name, x.layer)
        if problems := list(layer.problems([x.tensor.shape])):
            raise ExchangeError(problems)
        self.layers.append(layer)
        shape = layer.output_shape([x.tensor.shape])
        return replace(x, layer=name, tensor=Tensor(shape, x.tensor.type))

    def finish(self, pending: PendingLayer) -> QuantizedActivation:
        """Give an unquantized result a type; see :func:`choose_output_quantizer`."""
        if self.lenient:
            return self.quantize(pending, Quantizer(scale=1.0, type=OUTPUT))
        quantizer, exact = choose_output_quantizer(pending)
        place = len(self.layers)
        draft = self.quantize(pending, quantizer)
        if not exact:
            self.rounded[self.layers[place].name] = quantizer.scale
        return draft

    def whole(self, pending: PendingLayer) -> QuantizedActivation:
        """Read a result that the model leaves unquantized: as the whole numbers that it is.

        Raises
        ------
        ExchangeError
            If it is none, or needs more bits than there are.
        """
        known = not self.lenient or isinf(pending.error)
        quantizer = choose_whole_quantizer(pending) if known else Quantizer(scale=1.0, type=OUTPUT)
        if quantizer is None:
            raise ExchangeError(
                [
                    (
                        f"its input comes from '{pending.name}' without being quantized: put a "
                        "quantizer (Quant, or QuantizeLinear and DequantizeLinear) between; 16 "
                        "bits do not hold it without rounding"
                    )
                ]
            )
        found = self.quantized(pending, quantizer, pending)
        note = (
            f"layer '{found.layer}' is not quantized in the file: the network keeps its results "
            f"whole, in {quantizer.type.bits} bits"
        )
        if note not in self.notes:
            self.notes.append(note)
        return found

    def _name(self, node: str) -> str:
        """A name that Verilog takes, and that no layer has yet."""
        plain = re.sub(r"\W+", "_", node, flags=re.ASCII).strip("_") or "layer"
        plain = plain if not plain[0].isdigit() else f"n{plain}"
        taken = {layer.name for layer in self.layers} | {INPUT}
        name, number = plain, 2
        while name in taken:
            name, number = f"{plain}_{number}", number + 1
        return name

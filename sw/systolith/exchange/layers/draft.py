"""The layers of an integer network while a file is read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isinf

import numpy as np

from systolith.exchange.errors import ExchangeError
from systolith.exchange.values.open_types import (
    OUTPUT,
    choose_output_quantizer,
    choose_whole_quantizer,
)
from systolith.exchange.values.quantizer import InputQuantizer, Quantizer, whole_ratio
from systolith.exchange.values.requantizers import Affine, FittedRequantizer, fit_requantizer
from systolith.exchange.values.scaling import has_true_ties
from systolith.exchange.values.value import (
    AppendLayer,
    ModelInput,
    PendingLayer,
    QuantizedActivation,
    Value,
)
from systolith.network import (
    FITTED_MULTIPLIER_BITS,
    INPUT,
    MAX_TABLE_BITS,
    ActType,
    IntArray,
    Layer,
    Pad2d,
    Requantize,
    Table,
    Tensor,
    signed_bits,
)

__all__ = ["Draft"]


@dataclass(slots=True, kw_only=True)
class Draft:
    """The layers made so far; a layer is added when its quantizer is read.

    Attributes
    ----------
    layers : list of Layer
    units : dict of str to float
        Greatest difference from the file before rounding, by layer, given the same input; 0 if
        the arithmetic is the same.
    reals : dict of str to Affine
        The file's result before rounding, by layer.
    rounded : dict of str to float
        Step that a result is rounded to although the model leaves it unquantized, by layer.
    opsets : dict of str to int
        Operator set versions of the file, by domain.
    functions : dict
        Of each table, by layer: the activation that it reads, and the place of its result among
        all integers of its own type for each integer of that activation.
    multiplier_bits : int
        Greatest bit width of the multipliers of requantizers.
    input_type : Quantizer or None
        Quantizer of float images that the file does not quantize.
    input : InputQuantizer or None
        None until a layer reads the input.
    input_given : bool
        Whether `input_type` quantizes the input.
    notes : list of str
        Notes for the user on how the file was read.
    lenient : bool
        Whether the current node depends on a node with a problem. Problems of numbers are then
        not reported.
    cache : dict
        Quantized layers, by pending layer and quantizer.
    padded : dict
        Layers that add the padding of activations, by activation.
    halved : dict
        Activations with an integer for 0, by those without one.

    ordered : dict
        Activations in their layer's own order, by those that a file reordered.
    """

    multiplier_bits: int = FITTED_MULTIPLIER_BITS
    opsets: Mapping[str, int] = field(default_factory=dict)
    input_type: Quantizer | None = None
    input: InputQuantizer | None = None
    input_given: bool = False
    layers: list[Layer] = field(default_factory=list)
    units: dict[str, float] = field(default_factory=dict)
    reals: dict[str, Affine] = field(default_factory=dict)
    rounded: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lenient: bool = False
    functions: dict[str, tuple[QuantizedActivation, IntArray]] = field(default_factory=dict)
    cache: dict[tuple[Value, Quantizer], QuantizedActivation] = field(default_factory=dict)
    padded: dict[QuantizedActivation, QuantizedActivation] = field(default_factory=dict)
    halved: dict[QuantizedActivation, QuantizedActivation] = field(default_factory=dict)

    ordered: dict[QuantizedActivation, QuantizedActivation] = field(default_factory=dict)

    def read_input(self, images: ModelInput) -> QuantizedActivation:
        """Let the network read the model's input here.

        Raises
        ------
        ExchangeError
            If the input is not quantized, or already read differently.
        """
        quantizer = images.quantizer or self.input_type
        if images.integer is not None and images.quantizer is None:
            raise ExchangeError.of(
                f"reads integers, {images.integer}, as they come: put a DequantizeLinear before"
            )
        if quantizer is None:
            raise ExchangeError.of(
                "its input is the model's float input: put a quantizer before, or "
                "say what its integers are (--input-type int8:1/64, "
                "import_onnx(..., input_type='int8:1/64'))"
            )
        places, order = images.places, None
        if places.ndim not in (1, 3):
            # Neither an image nor a vector: the network reads a vector.
            order = np.arange(places.size).reshape(places.shape)
            images = images.move(np.ravel)
        quantizer = quantizer.narrow_to(images.low, images.high)
        source = InputQuantizer(
            shape=images.image,
            places=images.places,
            steps=images.steps,
            low=images.low,
            high=images.high,
            quantizer=quantizer,
            integer=images.integer,
        )
        if self.input is not None and not self.input.is_same(source) and not self.lenient:
            raise ExchangeError.of(
                "reads the model's input quantized or arranged in another way than a node "
                "before; one way is supported: quantize it once, and move it after that"
            )
        self.input = source
        self.input_given = images.quantizer is None
        tensor = Tensor(images.places.shape, quantizer.type)
        return QuantizedActivation(layer=INPUT, tensor=tensor, scale=quantizer.scale, places=order)

    def quantize(self, pending: PendingLayer, quantizer: Quantizer) -> QuantizedActivation:
        """Make a pending layer and the layers that follow it.

        Raises
        ------
        ExchangeError
            If the network contract has no equal arithmetic.
        """
        quantizer = quantizer.narrow_to(pending.low, pending.high)
        name = self.unused_name(pending.name)
        tensor = Tensor(pending.shape, quantizer.type)
        if (
            any(pending.padding)
            and not quantizer.low <= quantizer.type.zero_point <= quantizer.high
        ):
            raise ExchangeError.of("cuts off the zeros that an image was padded with before")
        if not self.lenient:
            fitted = fit_requantizer(pending, quantizer, self.multiplier_bits)
            if not isinstance(fitted, FittedRequantizer):
                raise ExchangeError(fitted)
            self.layers.append(pending.make(name, fitted.bias, fitted.spec, quantizer.type))
            self.units[name] = fitted.units
            self.reals[name] = fitted.real
            if fitted.units and has_true_ties(pending, quantizer):
                self.notes.append(
                    f"layer '{name}' has true ties, sums that give half a step: the file rounds "
                    "them to even, the network may round them the other way"
                )
        made = QuantizedActivation(layer=name, tensor=tensor, scale=quantizer.scale)
        return self._follow(pending, made)

    def make_quantized(
        self,
        pending: PendingLayer,
        spec: Requantize,
        bias: IntArray,
        output: ActType,
        *,
        real: Affine,
    ) -> QuantizedActivation:
        """Make a pending layer with a requantization that equals the file's, in steps of 1.

        `real` is the file's result before rounding, or its sums if thresholds are counted.
        """
        name = self.unused_name(pending.name)
        if not self.lenient:
            self.layers.append(pending.make(name, bias, spec, output))
            self.units[name] = 0.0
            self.reals[name] = real
        tensor = Tensor(pending.shape, output)
        return self._follow(pending, QuantizedActivation(layer=name, tensor=tensor, scale=1.0))

    def _follow(self, pending: PendingLayer, made: QuantizedActivation) -> QuantizedActivation:
        """Add the layers without arithmetic that follow a pending one."""
        for follow in pending.then:
            made = self.append(pending.name, made, follow)
        return replace(made, padding=pending.padding, places=pending.places)

    def include_zero(self, x: QuantizedActivation) -> QuantizedActivation:
        """Store an activation by a table so that an integer stands for 0, perhaps in half steps.

        This is how -1 and +1 in one bit become two bits that zeros can surround. Activations that
        have a zero are kept, as are those that have none in half steps.
        """
        act = x.tensor.type
        halves = whole_ratio(2 * x.origin, x.scale)
        if not halves or act.bits > MAX_TABLE_BITS:
            return x
        if x not in self.halved:
            parts = 1 + halves % 2
            values = parts * (np.arange(act.low, act.high + 1) - act.zero_point)
            values += halves * parts // 2
            output = ActType(bits=signed_bits(int(values.min()), int(values.max())), signed=True)
            made = Table(name="probe", input=x.layer, values=values, output=output)
            self.halved[x] = replace(
                x,
                layer=self.add_layer(f"{x.layer}_zero", made),
                tensor=Tensor(x.tensor.shape, output),
                scale=x.scale / parts,
                origin=0.0,
                counts=False,
                reals=None,
            )
        return self.halved[x]

    def quantize_once(
        self, x: PendingLayer | QuantizedActivation, quantizer: Quantizer, pending: PendingLayer
    ) -> QuantizedActivation:
        """Quantize `pending`, made from `x`; the same call again gives the same layer."""
        key = (x, quantizer)
        if key not in self.cache or self.lenient:
            self.cache[key] = self.quantize(pending, quantizer)
        return self.cache[key]

    def append(self, node: str, x: QuantizedActivation, make: AppendLayer) -> QuantizedActivation:
        """Add a layer that keeps types."""
        name = self.unused_name(node)
        layer = make(name, x.layer)
        if problems := list(layer.problems([x.tensor.shape])):
            raise ExchangeError(problems)
        self.layers.append(layer)
        shape = layer.output_shape([x.tensor.shape])
        return replace(x, layer=name, tensor=Tensor(shape, x.tensor.type))

    def add_layer(self, node: str, layer: Layer) -> str:
        """Add a layer without rounding of its own, and give its name."""
        name = self.unused_name(node)
        self.layers.append(replace(layer, name=name))
        self.units[name] = 0.0
        return name

    def pad_apart(self, x: QuantizedActivation) -> QuantizedActivation:
        """Add a layer for the zeros around an activation that its reader cannot take.

        Raises
        ------
        ExchangeError
            If no integer stands for zero, or values are reordered.
        """
        if not any(x.padding):
            return x
        x = self.include_zero(x)
        if x.origin or x.places is not None:
            raise ExchangeError.of(
                "reads zeros around -1 and +1 in one bit, or around what was reordered, which no "
                "layer adds"
            )
        if x not in self.padded:
            plain = replace(x, padding=(0, 0, 0, 0))
            self.padded[x] = self.append(
                f"{x.layer}_pad",
                plain,
                lambda name, source: Pad2d(name=name, input=source, padding=x.padding),
            )
        return self.padded[x]

    def quantize_output(self, pending: PendingLayer) -> QuantizedActivation:
        """Give an unquantized result a type; see :func:`choose_output_quantizer`."""
        if self.lenient:
            return self.quantize(pending, Quantizer(scale=1.0, type=OUTPUT))
        quantizer, exact = choose_output_quantizer(pending)
        place = len(self.layers)
        draft = self.quantize(pending, quantizer)
        if not exact:
            self.rounded[self.layers[place].name] = quantizer.scale
        return draft

    def keep_whole(self, pending: PendingLayer) -> QuantizedActivation:
        """Quantize a result that the model leaves unquantized, without rounding.

        Raises
        ------
        ExchangeError
            If its values are not whole numbers of one step, or need more than 16 bits.
        """
        known = not self.lenient or isinf(pending.error)
        quantizer = choose_whole_quantizer(pending) if known else Quantizer(scale=1.0, type=OUTPUT)
        if quantizer is None:
            raise ExchangeError.of(
                f"its input comes from '{pending.name}' without being quantized: put a "
                "quantizer (Quant, or QuantizeLinear and DequantizeLinear) between; 16 "
                "bits do not hold it without rounding"
            )
        whole = self.quantize_once(pending, quantizer, pending)
        note = (
            f"layer '{whole.layer}' is not quantized in the file: the network keeps its results "
            f"whole, in {quantizer.type.bits} bits"
        )
        if note not in self.notes:
            self.notes.append(note)
        return whole

    def unused_name(self, node: str) -> str:
        """Choose an unused name that is valid in Verilog."""
        plain = re.sub(r"\W+", "_", node, flags=re.ASCII).strip("_") or "layer"
        plain = plain if not plain[0].isdigit() else f"n{plain}"
        taken = {layer.name for layer in self.layers} | {INPUT}
        name, number = plain, 2
        while name in taken:
            name, number = f"{plain}_{number}", number + 1
        return name

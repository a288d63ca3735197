"""Import of ONNX files, with quantizers of QONNX or of ONNX itself, as integer networks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.exchange.check.agreement import Agreement, compare_with_executor
from systolith.exchange.check.counterparts import find_counterparts
from systolith.exchange.errors import ExchangeError
from systolith.exchange.file.model_file import ModelFile, read_model
from systolith.exchange.layers.draft import Draft
from systolith.exchange.nodes.classes import append_classes
from systolith.exchange.nodes.quantizers import read_whole_weights
from systolith.exchange.nodes.reader import NodeReader
from systolith.exchange.nodes.tables.quantizing import QUANTIZING
from systolith.exchange.nodes.unsupported import TrimmedModel, drop_tail, name_end
from systolith.exchange.values.layouts import file_order
from systolith.exchange.values.open_types import parse_input_type
from systolith.exchange.values.quantizer import FloatArray, InputQuantizer, Quantizer
from systolith.exchange.values.value import (
    Constant,
    Integers,
    ModelInput,
    QuantizedActivation,
    Value,
)
from systolith.network import FITTED_MULTIPLIER_BITS, IntArray, IntegerNetwork, Layer, Tensor

__all__ = ["ImportedModel", "import_model", "import_onnx"]

WEIGHTED = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
"""Operators whose second input is weights."""
FLOAT_WEIGHTS = "its weights are float constants"
NOT_QUANTIZED = (
    "the file has no quantizers: quantize it with calibration images (--calibrate images.npz, "
    "quantize_onnx)"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportedModel:
    """An integer network from a file, and the real values of its integers.

    Attributes
    ----------
    network : IntegerNetwork
    input : InputQuantizer
        Turns images into the network's input.
    scales : dict of str to float
        Scale of each output layer: integers `q` stand for ``scale * (q - zero_point)``.
    units : dict of str to float
        Greatest difference of each layer from the file's real arithmetic before rounding, given
        the same input, in units of its output; 0 if the two are equal. Rounded results differ by at
        most this, rounded up. It includes half a unit for a result that the file leaves unquantized
        and the network rounds.
    rounded : dict of str to float
        Step of each layer's result that the file leaves unquantized and the network rounds.
    tensors : dict of str to str
        Tensor of the file, by output layer. A tensor that is not an output of the file is read by
        operators that are left to the host.
    orders : dict of str to array of int64
        Index of each element of the file's tensor in the flattened result, for output layers that
        the file orders or shapes differently.
    ends : dict of str to str
        By output, what turns its real values into probabilities, ``"softmax"`` or ``"sigmoid"``, if
        it was left to the host.
    notes : tuple of str
        Notes for the user on what was chosen or left to the host.
    agreement : Agreement or None
        Comparison with the file's own executor; None if it was not asked for.
    """

    network: IntegerNetwork
    input: InputQuantizer
    scales: Mapping[str, float]
    units: Mapping[str, float]
    rounded: Mapping[str, float] = field(default_factory=dict)
    tensors: Mapping[str, str] = field(default_factory=dict)
    orders: Mapping[str, IntArray] = field(default_factory=dict)
    ends: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    agreement: Agreement | None = None

    @property
    def exact(self) -> bool:
        """Whether every layer equals the file's real arithmetic.

        This follows from scales, biases and types. :attr:`agreement` may still count differences,
        because the file's own executor computes in float32.
        """
        return not any(self.units.values())

    def quantize_input(self, images: FloatArray) -> IntArray:
        """Quantize images, shape (N, *shape of the file's input), as the file does."""
        return self.input.quantize(images)

    def real(self, outputs: Mapping[str, IntArray]) -> dict[str, FloatArray]:
        """Give the real values of the network's outputs, in the file's shapes.

        Parameters
        ----------
        outputs : dict of str to array of int
            Results of :func:`systolith.network.forward` or of hardware.
        """
        return {
            name: file_order(
                self.scales[name] * (values - self.network.tensors[name].type.zero_point),
                self.orders.get(name),
            )
            for name, values in outputs.items()
        }


def import_onnx(
    path: Path | str,
    *,
    multiplier_bits: int = FITTED_MULTIPLIER_BITS,
    input_type: str | Quantizer | None = None,
    input_shape: Sequence[int] | None = None,
    check: bool = True,
    images: NDArray[Any] | None = None,
    class_on_chip: bool = False,
) -> ImportedModel:
    """Import a quantized ONNX file as an integer network.

    Supported are Quant and BipolarQuant nodes of QONNX (Brevitas, QKeras), QuantizeLinear with
    DequantizeLinear, and QLinear operators (ONNX Runtime's static quantization). Sparsity of the
    weights is detected: see :func:`systolith.exchange.detect_structure`.

    Scales with at most 24 significant bits, for instance powers of two, are exact, including
    rounding. Others are rounded to 24 bits; `units` bounds the effect.

    Parameters
    ----------
    path : Path or str
        Path of the file.
    multiplier_bits : int
        Bit width of the multipliers of requantizers, 1..24. Up to 18 bits take fewer LUTs, and are
        less exact.
    input_type : str or Quantizer
        Type, scale and optional zero point of a float input that the file does not quantize, such
        as ``"int8:1/64"`` or ``"uint8:0.02:128"``.
    input_shape : sequence of int, optional
        Shape of one image, such as (3, 32, 32), if the file leaves sizes open.
    check : bool
        Whether to compare the network with the file's own executor (ONNX Runtime, or QONNX's) on
        a few images.
    images : array, shape (N, *shape of the file's input), optional
        Images to compare on; random ones by default.
    class_on_chip : bool
        Whether each output is a class, found by an ArgMax on the chip, in place of logits. By
        default, an ArgMax at the end is left to the host.

    Raises
    ------
    ExchangeError
        With every problem of the file; each names the node, the requirement and the nearest
        supported rewrite.
    DisagreementError
        If the executor computes something else; it names the first layer that differs.
    """
    model = read_model(Path(path), input_shape=input_shape)
    return import_model(
        model,
        multiplier_bits=multiplier_bits,
        input_type=input_type,
        check=check,
        images=images,
        class_on_chip=class_on_chip,
    )


def import_model(
    model: ModelFile,
    *,
    multiplier_bits: int = FITTED_MULTIPLIER_BITS,
    input_type: str | Quantizer | None = None,
    check: bool = True,
    images: NDArray[Any] | None = None,
    class_on_chip: bool = False,
) -> ImportedModel:
    """Import a model from :func:`read_model`; other parameters as in :func:`import_onnx`."""
    if not 1 <= multiplier_bits <= FITTED_MULTIPLIER_BITS:
        wanted = f"1..{FITTED_MULTIPLIER_BITS}"
        raise ExchangeError.of(f"multiplier_bits must lie in {wanted}, got {multiplier_bits}")
    given = parse_input_type(input_type)
    draft = Draft(multiplier_bits=multiplier_bits, input_type=given, opsets=model.opsets)
    trimmed = drop_tail(model)
    draft.notes += [*model.notes, *(() if class_on_chip else trimmed.notes)]
    constants: dict[str, Value] = {
        name: Constant(values=array) for name, array in model.constants.items()
    }
    weights = {node.inputs[1] for node in model.nodes if node.op in WEIGHTED}
    for name in model.whole & weights & constants.keys():
        constants[name] = read_whole_weights(model.constants[name])
    values: dict[str, Value] = {**constants, model.input: _images(model)}
    reader = NodeReader(draft=draft, opsets=model.opsets, values=values)
    reader.read_nodes(trimmed.model)
    outputs: dict[str, QuantizedActivation] = {}
    tensors: dict[str, str] = {}
    for name in trimmed.model.outputs:
        activation = reader.read_output(name)
        if activation is None:
            continue
        before = outputs.setdefault(activation.layer, activation)
        tensors.setdefault(activation.layer, name)
        if before.scale != activation.scale or not _same_order(before, activation):
            reader.problems.append(
                f"outputs '{tensors[activation.layer]}' and '{name}' are the same integers, scaled "
                "or shaped in two ways; leave one out"
            )
    if draft.input is None and not reader.problems:
        reader.problems.append("the model's input is read by no quantizer")
    if given is not None and draft.input is not None:
        if not draft.input_given:
            reader.problems.append(
                "input_type is given, but the file quantizes its input itself; leave it out"
            )
        draft.notes.append(
            f"the file does not quantize its input: it is read as {given.type} in steps of "
            f"{given.scale:g}, and what lies between two steps is rounded"
        )
    if any(FLOAT_WEIGHTS in problem for problem in reader.problems) and not (
        QUANTIZING.keys() & {node.op for node in model.nodes}
    ):
        reader.problems.insert(0, NOT_QUANTIZED)
    if reader.problems or draft.input is None:
        raise ExchangeError(reader.problems)
    network = _network(model, draft, draft.input, outputs)
    agreement = None
    if check and model.proto is not None:
        agreement = compare_with_executor(
            model.proto,
            network,
            draft.input,
            find_counterparts(reader.values, draft, outputs, tensors),
            draft.units,
            reals=draft.reals,
            given=images,
            whole=draft.input_given,
        )
    imported = ImportedModel(
        network=network,
        input=draft.input,
        scales={name: act.scale for name, act in outputs.items()},
        units={
            name: units + (name in draft.rounded) / 2
            for name, units in draft.units.items()
            if name in network.tensors
        },
        rounded={name: by for name, by in draft.rounded.items() if name in network.tensors},
        agreement=agreement,
        tensors=tensors,
        orders={name: act.places for name, act in outputs.items() if act.places is not None},
        ends={layer: end for layer, name in tensors.items() if (end := name_end(trimmed, name))},
        notes=tuple(draft.notes),
    )
    return _end_with_classes(imported, trimmed) if class_on_chip else imported


def _end_with_classes(imported: ImportedModel, trimmed: TrimmedModel) -> ImportedModel:
    """Replace the outputs by classes, which stand for themselves."""
    ended = append_classes(imported.network, imported.tensors, imported.orders, trimmed.ends)
    ExchangeError.raise_if_any(ended.problems)
    return replace(
        imported,
        network=ended.network,
        scales=dict.fromkeys(ended.network.outputs, 1.0),
        units={**imported.units, **dict.fromkeys(ended.network.outputs, 0.0)},
        tensors=ended.tensors,
        orders=ended.orders,
        ends={},
        notes=(*imported.notes, *ended.notes),
    )


def _images(model: ModelFile) -> ModelInput | Integers:
    """Make the value of the model's input; integers have the scale 1 until a node reads them."""
    places = np.arange(prod(model.shape)).reshape(model.shape)
    images = ModelInput(image=model.shape, places=places, integer=model.integer)
    if model.integer is None:
        return images
    quantizer = Quantizer(scale=1.0, type=model.integer)
    return Integers(of=images, quantizer=quantizer, node=f"input '{model.input}'")


def _same_order(a: QuantizedActivation, b: QuantizedActivation) -> bool:
    if a.places is None or b.places is None:
        return a.places is b.places
    return np.array_equal(a.places, b.places)


def _network(
    model: ModelFile,
    draft: Draft,
    source: InputQuantizer,
    outputs: Mapping[str, QuantizedActivation],
) -> IntegerNetwork:
    name = "".join(sign if sign.isalnum() and sign.isascii() else "_" for sign in model.name)
    return IntegerNetwork(
        name=f"n{name}" if not name or name[0].isdigit() else name,
        input=Tensor(source.places.shape, source.quantizer.type),
        layers=tuple(reversed(list(_needed_layers(draft, outputs)))),
        outputs=tuple(outputs),
    )


def _needed_layers(draft: Draft, outputs: Mapping[str, QuantizedActivation]) -> Iterator[Layer]:
    """Yield the layers that outputs depend on, last ones first."""
    wanted = set(outputs)
    for layer in reversed(draft.layers):
        if layer.name in wanted:
            wanted.update(layer.inputs)
            yield layer

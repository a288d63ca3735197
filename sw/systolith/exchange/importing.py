"""From an ONNX file, QONNX or with quantizers of ONNX's own, to an integer network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import ModelFile, Node, read_model
from systolith.exchange.operators import OPERATORS, REWRITES
from systolith.exchange.quantizing import InputQuantizer
from systolith.exchange.values import (
    Activation,
    Constant,
    FloatArray,
    Images,
    Pending,
    Unknown,
    Value,
)
from systolith.network import MAX_MULTIPLIER_BITS, IntArray, IntegerNetwork, NetworkError, Tensor

__all__ = ["Imported", "import_model", "import_onnx"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Imported:
    """A network from a file, and what its integers stand for.

    Attributes
    ----------
    network : IntegerNetwork
    input : InputQuantizer
        From float images to the network's integers.
    scales : dict of str to float
        By output layer: its integers `q` stand for ``scale * (q - zero_point)``.
    units : dict of str to float
        By layer: how far its result may be from the file's arithmetic before it is rounded, given
        the same input, in units of its output; 0 where the two are the same. Rounded results then
        differ by no more than this, rounded up.
    """

    network: IntegerNetwork
    input: InputQuantizer
    scales: Mapping[str, float]
    units: Mapping[str, float]

    @property
    def exact(self) -> bool:
        """Whether every layer computes just what the file says, in real arithmetic."""
        return not any(self.units.values())

    def quantize_input(self, images: FloatArray) -> IntArray:
        """Quantize float images, shape (N, *input shape), as the file's first quantizer does."""
        return self.input.of(images)

    def real(self, outputs: Mapping[str, IntArray]) -> dict[str, FloatArray]:
        """What the network's outputs stand for.

        Parameters
        ----------
        outputs : dict of str to array of int
            From :func:`systolith.network.forward`, or from hardware.
        """
        return {
            name: np.asarray(
                self.scales[name] * (values - self.network.tensors[name].type.zero_point)
            )
            for name, values in outputs.items()
        }


def import_onnx(path: Path | str, *, multiplier_bits: int = MAX_MULTIPLIER_BITS) -> Imported:
    """Read an ONNX file whose tensors are quantized, as an integer network.

    Supported are Quant and BipolarQuant nodes of QONNX (Brevitas, QKeras), QuantizeLinear with
    DequantizeLinear, and QLinear operators (ONNX Runtime's static quantization). Sparsity that the
    weights have is detected: see :func:`systolith.exchange.detect`.

    Scales with at most 24 significant bits, powers of two for instance, are met exactly, rounding
    included; others are rounded to 24 bits, and `units` says how far that reaches.

    Parameters
    ----------
    path : Path or str
        Of the file.
    multiplier_bits : int
        Of requantizers, 1..24. Up to 18 take half of the device's multipliers, and are less exact.

    Raises
    ------
    ExchangeError
        With every problem of the file: each names the node, what is required, and the nearest
        rewrite that is supported.
    """
    return import_model(read_model(Path(path)), multiplier_bits=multiplier_bits)


def import_model(model: ModelFile, *, multiplier_bits: int = MAX_MULTIPLIER_BITS) -> Imported:
    """Import what :func:`read_model` read; else as :func:`import_onnx`."""
    if not 1 <= multiplier_bits <= MAX_MULTIPLIER_BITS:
        wanted = f"1..{MAX_MULTIPLIER_BITS}"
        raise ExchangeError([f"multiplier_bits must lie in {wanted}, got {multiplier_bits}"])
    problems: list[str] = []
    made = Building(multiplier_bits=multiplier_bits)
    values: dict[str, Value] = {
        name: Constant(values=array) for name, array in model.constants.items()
    }
    values[model.input] = Images(
        shape=model.shape, integer=model.integer, scale=np.ones(1), offset=np.zeros(1)
    )
    for node in model.nodes:
        try:
            found = _run(node, values, made)
        except (ExchangeError, NetworkError) as error:
            problems += [f"{node}: {problem}" for problem in error.problems]
            found = Unknown()
        values.update(dict.fromkeys(node.outputs, Unknown()))
        values[node.outputs[0]] = found
    outputs: dict[str, Activation] = {}
    for name in model.outputs:
        try:
            activation = _output(name, values.get(name, Unknown()), made)
        except NetworkError as error:
            problems += error.problems
            continue
        if activation is not None:
            outputs[activation.layer] = activation
    if problems:
        raise ExchangeError(problems)
    if made.input is None:
        raise ExchangeError(["the model's input is read by no quantizer"])
    network = _network(model, made, made.input, outputs)
    scales = {name: each.scale for name, each in outputs.items()}
    return Imported(network=network, input=made.input, scales=scales, units=made.units)


def _run(node: Node, values: Mapping[str, Value], made: Building) -> Value:
    """What a node gives; unknown without more words if what it reads is."""
    operator = OPERATORS.get(node.op)
    if operator is None:
        rewrite = REWRITES.get(node.op, "see the table of supported operators in docs/onnx.md")
        raise ExchangeError([f"not supported: {rewrite}"])
    empty = Constant(values=np.zeros(0))
    read = [values.get(name, Unknown()) if name else empty for name in node.inputs]
    if any(isinstance(value, Unknown) for value in read):
        return Unknown()
    return operator.run(node, read, made)


def _output(name: str, value: Value, made: Building) -> Activation | None:
    match value:
        case Activation():
            return value
        case Pending():
            return made.finish(value)
        case Unknown():
            return None
        case _:
            raise ExchangeError([f"output '{name}' is no layer's result"])


def _network(
    model: ModelFile, made: Building, source: InputQuantizer, outputs: Mapping[str, Activation]
) -> IntegerNetwork:
    name = "".join(each if each.isalnum() and each.isascii() else "_" for each in model.name)
    return IntegerNetwork(
        name=f"n{name}" if not name or name[0].isdigit() else name,
        input=Tensor(model.shape, source.quantizer.type),
        layers=tuple(made.layers),
        outputs=tuple(outputs),
    )

"""The widths and roundings of the table of number types."""

import numpy as np
import pytest

from systolith.exchange import ExchangeError, ImportedModel, import_model, type_rows
from systolith.exchange.file.model_file import ModelFile, Node
from systolith.exchange.nodes.quantizers import WEIGHT_ROUNDINGS
from systolith.exchange.values.quantizer import (
    HALF_TO_PLUS_INFINITY,
    NONNEGATIVE_ROUNDINGS,
    ROUNDINGS,
)
from systolith.network import MAX_ACT_BITS, MAX_WEIGHT_BITS, ActType, Conv2d


def _convolution(
    *,
    bits: int = 8,
    signed: bool = True,
    zero: float = 0.0,
    rounding: str = "ROUND",
    weight_bits: int = 8,
    weight_rounding: str = "ROUND",
    relu: bool = False,
) -> ImportedModel:
    """Import a quantized convolution 1x1 whose activations are all of one type."""
    weight = np.array([[-1.0], [0.75]], np.float32).reshape(2, 1, 1, 1)
    constants = {
        "scale": np.float32(0.5),
        "zero": np.float32(zero),
        "none": np.float32(0),
        "bits": np.float32(bits),
        "wide": np.float32(weight_bits),
        "w": weight,
    }

    def node(op: str, inputs: str, output: str, **attributes: object) -> Node:
        return Node(
            name=output,
            op=op,
            inputs=tuple(inputs.split()),
            outputs=(output,),
            attributes=attributes,
        )

    act = {"signed": int(signed), "rounding_mode": rounding}
    quantized = node("Quant", "w scale none wide", "k", rounding_mode=weight_rounding)
    nodes = [
        node("Quant", "x scale zero bits", "a", signed=int(signed)),
        quantized,
        node("Conv", "a k", "c"),
        node("Relu", "c", "r") if relu else node("Identity", "c", "r"),
        node("Quant", "r scale zero bits", "y", **act),
    ]
    return import_model(
        ModelFile(
            name="case",
            nodes=tuple(nodes),
            constants=constants,
            input="x",
            shape=(1, 2, 2),
            integer=None,
            outputs=("y",),
            metadata={},
        )
    )


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", range(1, MAX_ACT_BITS + 1))
def test_activations_of_every_width(bits: int, signed: bool) -> None:
    if signed and bits == 1:
        # Signs: one bit between layers, two where they leave.
        network = _convolution(bits=bits, signed=signed).network
        assert network.input.type == ActType(bits=1, signed=False, zero_point=1)
        assert network.tensors[network.outputs[0]].type == ActType(bits=2, signed=True)
        with pytest.raises(ExchangeError, match="makes activations of 1 bits; 2 to 16 are supp"):
            _convolution(bits=bits, signed=signed, zero=-1)
        return
    zero = -1 if signed else 1
    found = _convolution(bits=bits, signed=signed, zero=zero, rounding="FLOOR")
    wanted = ActType(bits=bits, signed=signed, zero_point=zero)
    assert {tensor.type for tensor in found.network.tensors.values()} == {wanted}


@pytest.mark.parametrize("bits", range(1, MAX_WEIGHT_BITS + 1))
def test_weights_of_every_width(bits: int) -> None:
    (layer,) = _convolution(weight_bits=bits).network.layers
    assert isinstance(layer, Conv2d)
    assert layer.weight_bits == bits
    wanted = [-1, 1] if bits == 1 else [-2, 2 if bits > 2 else 1]
    assert layer.weight.ravel().tolist() == wanted


def test_wider_types_are_refused() -> None:
    with pytest.raises(ExchangeError, match="makes activations of 17 bits; 2 to 16 are supp"):
        _convolution(bits=MAX_ACT_BITS + 1)
    with pytest.raises(ExchangeError, match=r"weight_bits must be 1\.\.16, got 17"):
        _convolution(weight_bits=MAX_WEIGHT_BITS + 1)


@pytest.mark.parametrize("rounding", [*ROUNDINGS, *NONNEGATIVE_ROUNDINGS])
def test_roundings_of_results(rounding: str) -> None:
    if rounding == HALF_TO_PLUS_INFINITY:
        return
    assert _convolution(rounding=rounding, relu=True).exact
    if rounding in NONNEGATIVE_ROUNDINGS:
        with pytest.raises(ExchangeError, match="results that are never negative only"):
            _convolution(rounding=rounding)
    else:
        assert _convolution(rounding=rounding).exact


def test_other_roundings_are_refused() -> None:
    with pytest.raises(ExchangeError, match=r"^node 'y' \(Quant\): rounds by 'CEIL'; ROUND"):
        _convolution(rounding="CEIL", relu=True)
    with pytest.raises(ExchangeError, match=r"^node 'k' \(Quant\): rounds weights by 'UP'; ROUND"):
        _convolution(weight_rounding="UP")


@pytest.mark.parametrize("rounding", WEIGHT_ROUNDINGS)
def test_roundings_of_weights(rounding: str) -> None:
    (layer,) = _convolution(weight_rounding=rounding).network.layers
    assert isinstance(layer, Conv2d)
    # 0.75 is a step and a half.
    wanted = {"FLOOR": 1}.get(rounding, 2)
    assert layer.weight.ravel().tolist() == [-2, wanted]


def test_the_table_has_three_columns_throughout() -> None:
    assert {row.count("|") for row in type_rows()} == {4}

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from systolith.network import (
    ActType,
    Add,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Linear,
    MaxPool2d,
    NetworkError,
    Requantize,
    Tensor,
    content_hash,
)
from tests.support.drawn_networks import networks

UINT8 = ActType(bits=8, signed=False)
INT4 = ActType(bits=4, signed=True, zero_point=3)
UNIT = Requantize(multiplier=np.array([1]), shift=np.array([0]))
IMAGE = Tensor((3, 8, 8), UINT8)


def conv(name: str, source: str, filters: int = 3, channels: int = 3, **fields: Any) -> Conv2d:
    return Conv2d(
        name=name,
        input=source,
        weight=np.ones((filters, channels, 3, 3), dtype=int),
        bias=np.zeros(filters, dtype=int),
        requantize=fields.pop("requantize", UNIT),
        output=INT4,
        padding=(1, 1, 1, 1),
        **fields,
    )


def residual() -> tuple[Any, ...]:
    return (
        conv("a", "input"),
        Add(name="sum", inputs=("a", "input"), multipliers=(1, 2), requantize=UNIT, output=INT4),
        MaxPool2d(name="pool", input="sum", kernel_size=(2, 2), stride=(2, 2)),
        Flatten(name="flat", input="pool"),
    )


def problems(**fields: Any) -> tuple[str, ...]:
    with pytest.raises(NetworkError) as error:
        IntegerNetwork(**{"input": IMAGE, "layers": residual(), **fields})
    return error.value.problems


def test_shapes_and_types_are_derived() -> None:
    network = IntegerNetwork(input=IMAGE, layers=residual())
    assert {name: str(tensor) for name, tensor in network.tensors.items()} == {
        "input": "3x8x8 uint8",
        "a": "3x8x8 int4 zero 3",
        "sum": "3x8x8 int4 zero 3",
        "pool": "3x4x4 int4 zero 3",
        "flat": "48 int4 zero 3",
    }
    assert network.outputs == ("flat",)
    assert network.inputs_of(network["sum"]) == [network.tensors["a"], IMAGE]
    with pytest.raises(KeyError, match=r"^'nothing'$"):
        network["nothing"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layers": ()}, "a network needs at least one layer"),
        ({"layers": None}, "layers must be a tuple of layers, got None"),
        ({"layers": (UNIT,)}, "layers must be a tuple of layers, but contains Requantize("),
        ({"outputs": "flat"}, "outputs must be a tuple of layer names, got 'flat'"),
        ({"outputs": ("flat", 1)}, "outputs must be a tuple of layer names, but contains 1"),
        ({"outputs": ("flat", "x")}, "output 'x' is no layer of the network"),
        ({"outputs": ("flat", "input")}, "output 'input' is no layer of the network"),
        ({"outputs": ("flat", "flat")}, "outputs must be different layers, got 'flat' 2 times"),
        ({"outputs": ("sum",)}, "layer 'flat': its result is read by no layer and is no output"),
        ({"input": (3, 8, 8)}, "input must be Tensor, got (3, 8, 8)"),
        ({"name": "my net"}, "name must consist of letters, digits, '_' and '.' and start with"),
        ({"name": None}, "name must consist of letters, digits, '_' and '.' and start with"),
        (
            {"layers": (*residual(), Flatten(name="flat", input="flat"))},
            "layer names must be unique, got 'flat' 2 times",
        ),
        (
            {"layers": (Flatten(name="a.b", input="input"), Flatten(name="a_b", input="a.b"))},
            "layer names must differ when '.' is read as '_', got 'a.b' and 'a_b'",
        ),
        (
            {"layers": (Flatten(name="input", input="input"),)},
            "no layer may have the name 'input', which is the network's input",
        ),
        (
            {"layers": (Flatten(name="a", input="a"),)},
            "layer 'a': reads 'a', which is not defined before it",
        ),
        (
            {"layers": tuple(reversed(residual()))},
            "layer 'flat': reads 'pool', which is not defined before it",
        ),
        (
            {"layers": (conv("a", "input", channels=4),)},
            "layer 'a': weights read 4 input channels, but 'input' has 3",
        ),
    ],
)
def test_rejects_a_wrong_graph(fields: dict[str, Any], message: str) -> None:
    assert any(problem.startswith(message) for problem in problems(**fields))


def test_layers_come_after_what_they_read() -> None:
    first, middle, last = (
        Flatten(name=name, input=source)
        for name, source in [("a", "input"), ("b", "c"), ("c", "a")]
    )
    assert problems(layers=(first, middle, last), outputs=("b",)) == (
        "layer 'b': reads 'c', which is not defined before it",
    )
    IntegerNetwork(input=IMAGE, layers=(first, last, middle))


def test_accumulators_must_not_be_wider_than_47_bits() -> None:
    wide = ActType(bits=16, signed=False)
    weight = np.full((1, 1 << 16), -(1 << 15))
    layer = Linear(
        name="fc",
        input="input",
        weight=weight,
        bias=np.array([0]),
        weight_bits=16,
        requantize=UNIT,
        output=wide,
    )
    assert problems(input=Tensor((1 << 16,), wide), layers=(layer,)) == (
        "layer 'fc': needs a 48-bit accumulator; at most 47 are supported",
    )


def test_products_of_requantizers_must_not_be_wider_than_63_bits() -> None:
    wide = ActType(bits=16, signed=False)
    layer = Linear(
        name="fc",
        input="input",
        weight=np.full((1, 1 << 10), -(1 << 15)),
        bias=np.array([0]),
        weight_bits=16,
        requantize=Requantize(multiplier=np.array([(1 << 24) - 1]), shift=np.array([40])),
        output=wide,
    )
    assert problems(input=Tensor((1 << 10,), wide), layers=(layer,)) == (
        (
            "layer 'fc': needs a 42-bit accumulator and requantizes with 24-bit multipliers; "
            "together at most 63 bits are supported"
        ),
    )


def test_results_too_big_to_count_are_a_problem() -> None:
    huge = Tensor((1 << 31, 1 << 31, 1 << 31), UINT8)
    (problem,) = problems(input=huge, layers=(Flatten(name="flat", input="input"),))
    assert problem.startswith("layer 'flat': its result: shape must be integers, got")


def test_reports_all_problems_of_all_layers_and_nothing_that_follows_from_them() -> None:
    wrong = Requantize(multiplier=np.ones(3, dtype=int), shift=np.zeros(4, dtype=int))
    found = problems(
        name="1",
        layers=(
            conv("a", "input", channels=5),
            conv("b", "a", channels=99),
            Linear(name="c", input="input", weight=[[1]], bias=[0], requantize=UNIT, output=INT4),  # type: ignore[arg-type]
            Add(
                name="d",
                inputs=("input", "nothing"),
                multipliers=(1, 1),
                requantize=UNIT,
                output=INT4,
            ),
            Add(
                name="e",
                inputs=("input", "input"),
                multipliers=(1, 1),
                requantize=wrong,
                output=INT4,
            ),
        ),
        outputs=("b", "d", "x"),
    )
    assert [problem[:45] for problem in found] == [
        "name must consist of letters, digits, '_' and",
        "layer 'a': weights read 5 input channels, but",
        "layer 'c': needs a vector, but 'input' has sh",
        "layer 'd': reads 'nothing', which is not defi",
        "layer 'e': requantize shift needs 1 or 3 valu",
        "output 'x' is no layer of the network",
        "layer 'c': its result is read by no layer and",
        "layer 'e': its result is read by no layer and",
    ]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((), r"^shape must be \(C, H, W\) or \(features,\), none 0, got \(\)$"),
        ((1, 2), r"^shape must be \(C, H, W\) or \(features,\), none 0, got \(1, 2\)$"),
        ((1, 0, 2), r"^shape must be \(C, H, W\) or \(features,\), none 0, got \(1, 0, 2\)$"),
        ((1.0,), r"^shape must be integers, got \(1\.0,\)$"),
        ("abc", r"^shape must be integers, got 'abc'$"),
        (3, r"^shape must be integers, got 3$"),
    ],
)
def test_rejects_wrong_tensors(shape: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Tensor(shape, UINT8)


def test_tensor_reports_both_fields() -> None:
    with pytest.raises(NetworkError) as error:
        Tensor((), "uint8")  # type: ignore[arg-type]
    assert len(error.value.problems) == 2
    assert Tensor([3, np.int64(2), 1], UINT8) == Tensor((3, 2, 1), UINT8)  # type: ignore[arg-type]


@given(network=networks())
def test_drawn_networks_are_valid_and_survive_pickle(network: IntegerNetwork) -> None:
    assert list(network.tensors) == ["input", *(layer.name for layer in network.layers)]
    assert content_hash(pickle.loads(pickle.dumps(network))) == content_hash(network)

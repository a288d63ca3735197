import pickle
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from systolith.network import (
    ActType,
    ArgMax,
    IntegerNetwork,
    KOutOfN,
    Layer,
    NetworkError,
    Pattern,
    Requantize,
    Shape,
    Table,
    Tensor,
)
from tests.support.drawn_networks import conv2ds
from tests.support.layers import INT8, MAKERS, add, avg_pool, conv, flatten, linear, max_pool


def test_values_become_plain_and_read_only() -> None:
    layer = conv(
        weight=np.ones((2, 3, 3, 2), dtype=np.int8),
        stride=[np.int64(1), 2],
        padding=np.array([1, 0, 0, 0]),
        mask=np.ones((2, 3, 3, 2), dtype=bool).tolist(),
    )
    assert layer.stride == (1, 2) and layer.padding == (1, 0, 0, 0)
    assert {type(size) for size in (*layer.stride, *layer.padding)} == {int}
    assert layer.weight.dtype == np.int64 and layer.mask is not None
    assert not layer.weight.flags.writeable and not layer.mask.flags.writeable
    assert add(inputs=["a", "b"]).inputs == ("a", "b")


def test_names_may_be_those_of_pytorch() -> None:
    for name in ("conv1", "layer1.0.conv2", "_x", "A.b_2"):
        assert conv(name=name).name == name


@pytest.mark.parametrize(
    ("layer", "shapes", "expected"),
    [
        (conv(), [(3, 5, 6)], (2, 3, 5)),
        (conv(stride=(2, 3), padding=(1, 2, 1, 0)), [(3, 5, 6)], (2, 3, 2)),
        (conv(weight=np.ones((6, 1, 1, 1), int), groups=3), [(3, 2, 2)], (6, 2, 2)),
        (linear(), [(3,)], (2,)),
        (add(), [(3, 4, 5), (3, 4, 5)], (3, 4, 5)),
        (add(), [(7,), (7,)], (7,)),
        (max_pool(), [(4, 5, 5)], (4, 2, 2)),
        (max_pool(padding=(1, 1, 0, 2)), [(4, 5, 5)], (4, 3, 3)),
        (avg_pool(), [(4, 5, 6)], (4, 1, 1)),
        (avg_pool(stride=(9, 9)), [(4, 5, 6)], (4, 1, 1)),
        (avg_pool(kernel_size=(2, 2)), [(4, 5, 6)], (4, 4, 5)),
        (flatten(), [(4, 5, 6)], (120,)),
        (flatten(), [(9,)], (9,)),
    ],
)
def test_output_shape(layer: Layer, shapes: list[Shape], expected: Shape) -> None:
    assert list(layer.problems(shapes)) == []
    assert layer.output_shape(shapes) == expected


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (conv(), [(4, 5, 6)], "weights read 3 input channels, but 'input' has 4"),
        (conv(), [(3,)], "needs an image (C, H, W), but 'input' has shape (3,)"),
        (
            conv(padding=(1, 0, 0, 0)),
            [(3, 1, 6)],
            "kernel (3, 2) does not fit 'input' of shape (3, 1, 6) with padding (1, 0, 0, 0)",
        ),
        (
            conv(weight=np.ones((6, 1, 1, 1), int), groups=3),
            [(1, 2, 2)],
            "weights read 3 input channels, but 'input' has 1",
        ),
        (linear(), [(4,)], "weights read 3 features, but 'input' has 4"),
        (
            linear(),
            [(3, 1, 1)],
            "needs a vector, but 'input' has shape (3, 1, 1); put a Flatten before",
        ),
        (
            add(),
            [(3,), (4,)],
            "adds tensors of equal shape, but 'a' has (3,) and 'b' has (4,)",
        ),
        (
            add(requantize=Requantize(multiplier=[1, 1], shift=[0])),  # type: ignore[arg-type]
            [(3,), (3,)],
            "requantize multiplier needs 1 or 3 values, got 2",
        ),
        (max_pool(), [(3,)], "needs an image (C, H, W), but 'input' has shape (3,)"),
        (
            max_pool(),
            [(3, 1, 3)],
            "kernel (2, 3) does not fit 'input' of shape (3, 1, 3) with padding (0, 0, 0, 0)",
        ),
        (avg_pool(), [(3,)], "needs an image (C, H, W), but 'input' has shape (3,)"),
        (
            avg_pool(requantize=Requantize(multiplier=[1], shift=[0, 1])),  # type: ignore[arg-type]
            [(3, 1, 1)],
            "requantize shift needs 1 or 3 values, got 2",
        ),
    ],
)
def test_says_what_does_not_fit_an_input(layer: Layer, shapes: list[Shape], message: str) -> None:
    assert list(layer.problems(shapes)) == [message]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("shape", [(), (1, 2), (0,), (1, 1, -1), (1.0,), "abc", None, (1, 2, 3, 4)])
def test_weird_shapes_are_a_problem_and_no_crash(make: Callable[..., Layer], shape: Any) -> None:
    layer = make()
    found = list(layer.problems([shape] * len(layer.inputs)))
    assert found and all("shapes are (C, H, W) or (features,), but" in item for item in found)
    for count in (0, 3):
        (problem,) = layer.problems([(1,)] * count)
        assert problem == f"reads {len(layer.inputs)} tensors, got {count} shapes"


@given(data=st.data())
def test_drawn_convolutions_survive_pickle_and_replace(data: st.DataObject) -> None:
    layer = data.draw(conv2ds((2, 4, 4)))
    for copy in (pickle.loads(pickle.dumps(layer)), replace(layer, name="other")):
        assert copy.output_shape([(2, 4, 4)]) == layer.output_shape([(2, 4, 4)])
        assert (copy.weight == layer.weight).all() and copy.pattern == layer.pattern


def test_big_layers_are_made_quickly() -> None:
    rng = np.random.default_rng(0)
    pattern = Pattern(select=KOutOfN(2, 4))
    mask = pattern.best_mask(rng.random((512, 512, 3, 3), dtype=np.float32))
    weight = rng.integers(-8, 8, mask.shape) * mask
    start = time.process_time()
    conv(weight=weight, mask=mask, pattern=pattern)
    assert time.process_time() - start < 1.0


UINT2 = ActType(bits=2, signed=False)


def test_a_table_gives_the_value_of_each_integer() -> None:
    act = ActType(bits=2, signed=True, zero_point=1)
    table = Table(name="table", input="input", values=[3, 0, 2, 1], output=UINT2)
    codes = np.arange(-2, 2)[None]
    assert table.compute([codes], [Tensor((4,), act)]).tolist() == [[3, 0, 2, 1]]
    assert table.output_type([act]) == UINT2
    assert table.output_shape([(3, 2, 2)]) == (3, 2, 2)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([1, 2, 3], r"values must have shape \(2\*\*bits,\) for 1\.\.8 bits, got \(3,\)"),
        (np.zeros(512, int), r"for 1\.\.8 bits, got \(512,\)"),
        ([[1, 2], [1, 2]], r"got \(2, 2\)"),
        ([0, 4], r"values must lie in 0\.\.3, got 0\.\.4"),
        ([0.5, 1], "values must be integers, got float64"),
    ],
)
def test_rejects_values_that_are_no_table(values: Any, problem: str) -> None:
    with pytest.raises(NetworkError, match=problem):
        Table(name="table", input="input", values=values, output=UINT2)


def test_rejects_a_table_for_another_width() -> None:
    table = Table(name="table", input="input", values=[3, 0, 2, 1], output=UINT2)
    with pytest.raises(NetworkError, match="needs 256 values, one for each integer of 'input'"):
        IntegerNetwork(input=Tensor((3,), INT8), layers=(table,))


def test_the_class_is_the_number_of_the_first_greatest_channel() -> None:
    act = ActType(bits=4, signed=True, zero_point=1)
    vector = ArgMax(name="class", input="input", classes=3)
    values = np.array([[-8, -8, -8], [1, 7, 7], [-1, -2, 0]])
    assert vector.compute([values], [Tensor((3,), act)]).tolist() == [[0], [1], [2]]
    image = np.stack([values, values + 0], axis=-1)[..., None, :]
    assert vector.output_shape([(3, 1, 2)]) == (1, 1, 2)
    assert vector.compute([image], [Tensor((3, 1, 2), act)])[:, 0, 0].tolist() == [
        [0, 0],
        [1, 1],
        [2, 2],
    ]


@pytest.mark.parametrize(
    ("classes", "kind"), [(1, "uint1"), (2, "uint1"), (10, "uint4"), (1000, "uint10")]
)
def test_classes_have_the_fewest_bits(classes: int, kind: str) -> None:
    assert str(ArgMax(name="class", input="input", classes=classes).output_type([INT8])) == kind


def test_rejects_classes_that_the_input_does_not_have() -> None:
    layer = ArgMax(name="class", input="input", classes=3)
    with pytest.raises(NetworkError, match="greatest of 3 channels, but 'input' has 4$"):
        IntegerNetwork(input=Tensor((4,), INT8), layers=(layer,))
    with pytest.raises(NetworkError, match=r"classes must be 1\.\.65536, got 65537$"):
        replace(layer, classes=65537)

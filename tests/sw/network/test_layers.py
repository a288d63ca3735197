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
    Add,
    ArgMax,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntegerNetwork,
    KOutOfN,
    Layer,
    Linear,
    MaxPool2d,
    NetworkError,
    Pattern,
    Requantize,
    Shape,
    Strided,
    Table,
    Tensor,
)
from tests.support.strategies import conv2ds

INT8 = ActType(bits=8, signed=True)
UNIT = Requantize(multiplier=np.array([1]), shift=np.array([0]))


def conv(**fields: Any) -> Conv2d:
    shape = np.shape(fields.get("weight", np.ones((2, 3, 3, 2))))
    filters = shape[0] if shape else 1
    made = {
        "name": "conv",
        "input": "input",
        "weight": np.ones((2, 3, 3, 2), dtype=int),
        "bias": np.zeros(filters, dtype=int),
        "requantize": UNIT,
        "output": INT8,
    }
    return Conv2d(**{**made, **fields})


def linear(**fields: Any) -> Linear:
    made = {
        "name": "fc",
        "input": "input",
        "weight": np.ones((2, 3), dtype=int),
        "bias": np.zeros(2, dtype=int),
        "requantize": UNIT,
        "output": INT8,
    }
    return Linear(**{**made, **fields})


def add(**fields: Any) -> Add:
    made = {
        "name": "add",
        "inputs": ("a", "b"),
        "multipliers": (1, 1),
        "requantize": UNIT,
        "output": INT8,
    }
    return Add(**{**made, **fields})


def max_pool(**fields: Any) -> MaxPool2d:
    made = {"name": "pool", "input": "input", "kernel_size": (2, 3), "stride": (2, 2)}
    return MaxPool2d(**{**made, **fields})


def avg_pool(**fields: Any) -> AvgPool2d:
    made = {"name": "avg", "input": "input", "requantize": UNIT, "output": INT8}
    return AvgPool2d(**{**made, **fields})


def flatten(**fields: Any) -> Flatten:
    return Flatten(**{"name": "flat", "input": "input", **fields})


MAKERS = [conv, linear, add, max_pool, avg_pool, flatten]
ODD: list[Any] = [
    None,
    1.5,
    "1",
    True,
    [],
    [[1]],
    {},
    object,
    np.ones((1, 2, 3)),
    (1, "2"),
    b"1",
    2**70,
]
GROUPS = r"^layer 'conv': groups must be 1 or the number of input channels \(depthwise, weight .* "


@pytest.mark.parametrize(
    ("make", "fields", "message"),
    [
        (
            conv,
            {"name": "a b"},
            r"^layer 'a b': name must consist of letters, digits, '_' and '\.'",
        ),
        (conv, {"name": "0.conv"}, r"^layer '0\.conv': name must consist of .*; got '0\.conv'$"),
        (conv, {"name": ""}, r"^layer '': name must consist of .*; got ''$"),
        (conv, {"name": "conv\n"}, r"^layer 'conv\\n': name must consist of .*; got 'conv\\n'$"),
        (conv, {"name": "größe"}, r"^layer 'größe': name must consist of"),
        (conv, {"name": "../x"}, r"^layer '\.\./x': name must consist of"),
        (conv, {"input": 3}, r"^layer 'conv': input must be str, got 3$"),
        (
            conv,
            {"weight": np.ones((2, 3, 3, 2))},
            r"^layer 'conv': weight must be integers, got fl",
        ),
        (
            conv,
            {"weight": np.ones((2, 3), dtype=int)},
            r"^layer 'conv': weight must have shape \(F, C, Kh, Kw\), none 0, got \(2, 3\)$",
        ),
        (
            conv,
            {"weight": np.ones((2, 0, 3, 2), dtype=int)},
            r"^layer 'conv': weight must have shape .* got \(2, 0, 3, 2\)$",
        ),
        (
            linear,
            {"weight": np.ones((2, 3, 1, 1), dtype=int)},
            r"^layer 'fc': weight must have shape \(O, I\), none 0, got \(2, 3, 1, 1\)$",
        ),
        (conv, {"bias": [1]}, r"^layer 'conv': bias must have shape \(2,\), got \(1,\)$"),
        (conv, {"bias": [0.5, 1]}, r"^layer 'conv': bias must be integers, got float64$"),
        (
            conv,
            {"bias": [0, 1 << 39]},
            r"^layer 'conv': bias must fit 40 bits signed, got 0\.\.549755813888$",
        ),
        (
            conv,
            {"bias": [-(1 << 63), 0]},
            r"^layer 'conv': bias must fit 40 bits signed, got -9223372036854775808\.\.0$",
        ),
        (conv, {"weight_bits": 0}, r"^layer 'conv': weight_bits must be 1\.\.16, got 0$"),
        (conv, {"weight_bits": 17}, r"^layer 'conv': weight_bits must be 1\.\.16, got 17$"),
        (conv, {"weight_bits": 8.0}, r"^layer 'conv': weight_bits must be an integer, got 8\.0$"),
        (
            conv,
            {"weight": np.full((1, 1, 1, 1), 8), "weight_bits": 4},
            r"^layer 'conv': 4-bit weights must lie in -8\.\.7, got 8\.\.8$",
        ),
        (
            conv,
            {"weight": np.full((1, 1, 1, 1), -9), "weight_bits": 4},
            r"^layer 'conv': 4-bit weights must lie in -8\.\.7, got -9\.\.-9$",
        ),
        (
            linear,
            {"weight": [[1, 0, -1], [1, 1, 1]], "weight_bits": 1},
            r"^layer 'fc': 1-bit weights must be -1 or \+1 wherever they are kept$",
        ),
        (conv, {"requantize": None}, r"^layer 'conv': requantize must be Requantize, got None$"),
        (conv, {"output": "int8"}, r"^layer 'conv': output must be ActType, got 'int8'$"),
        (conv, {"pattern": KOutOfN(1, 3)}, r"^layer 'conv': pattern must be Pattern, got KOutOfN"),
        (
            conv,
            {"pattern": Pattern(select=KOutOfN(1, 3))},
            r"^layer 'conv': the pattern 1-out-of-3 needs a mask$",
        ),
        (
            linear,
            {"pattern": Pattern(select=KOutOfN(1, 2)), "mask": np.ones((2, 3), dtype=bool)},
            r"^layer 'fc': 1-out-of-2 pruning needs input channels divisible by 2, got 3$",
        ),
        (
            conv,
            {"mask": np.ones((2, 3), dtype=bool)},
            r"^layer 'conv': mask must have the shape of",
        ),
        (conv, {"mask": np.ones((2, 3, 3, 2))}, r"^layer 'conv': mask must be bool, got float64$"),
        (
            linear,
            {"mask": np.zeros((2, 3), dtype=bool)},
            r"^7 problems:\n  - layer 'fc': filter 0 drops the weight of",
        ),
        (conv, {"stride": (0, 1)}, r"^layer 'conv': stride must be at least 1, got \(0, 1\)$"),
        (conv, {"stride": (1.0, 1)}, r"^layer 'conv': stride must be 2 integers, got \(1\.0, 1\)$"),
        (conv, {"stride": 2}, r"^layer 'conv': stride must be 2 integers, got 2$"),
        (conv, {"stride": "11"}, r"^layer 'conv': stride must be 2 integers, got '11'$"),
        (conv, {"stride": (True, True)}, r"^layer 'conv': stride must be 2 integers, got \(True, "),
        (conv, {"padding": (0, 0)}, r"^layer 'conv': padding must be 4 integers, got \(0, 0\)$"),
        (
            conv,
            {"padding": (0, 3, 0, 0)},
            r"^layer 'conv': padding must be at least 0 and less than the kernel \(3, 2\), got \(0",
        ),
        (
            conv,
            {"padding": (0, 0, 2, 0)},
            r"^layer 'conv': padding must be at least 0 and less than",
        ),
        (
            conv,
            {"padding": (0, 0, 0, -1)},
            r"^layer 'conv': padding must be at least 0 and less th",
        ),
        (conv, {"groups": 3}, GROUPS + r"got groups=3 with weight \(2, 3, 3, 2\)$"),
        (conv, {"groups": 0}, GROUPS + "got groups=0 with"),
        (
            conv,
            {"groups": 0, "weight": np.ones((2, 1, 1, 1), dtype=int)},
            GROUPS + r"got groups=0 with weight \(2, 1, 1, 1\)$",
        ),
        (conv, {"groups": 2, "weight": np.ones((3, 1, 1, 1), dtype=int)}, GROUPS + "got groups=2"),
        (conv, {"groups": "1"}, r"^layer 'conv': groups must be an integer, got '1'$"),
        (
            add,
            {"inputs": ("a",)},
            r"^layer 'add': inputs must be the names of two layers, got \('a'",
        ),
        (add, {"inputs": ("a", "b", "c")}, r"^layer 'add': inputs must be the names of two layers"),
        (add, {"inputs": "ab"}, r"^layer 'add': inputs must be the names of two layers, got 'ab'$"),
        (
            add,
            {"inputs": (1, 2)},
            r"^layer 'add': inputs must be the names of two layers, got \(1, ",
        ),
        (
            add,
            {"multipliers": (0, 1)},
            r"^layer 'add': multipliers must lie in 1\.\.65535, got \(0,",
        ),
        (
            add,
            {"multipliers": (1, 65536)},
            r"^layer 'add': multipliers must lie in 1\.\.65535, got",
        ),
        (add, {"multipliers": (1,)}, r"^layer 'add': multipliers must be 2 integers, got \(1,\)$"),
        (
            add,
            {"multipliers": (1, 1.5)},
            r"^layer 'add': multipliers must be 2 integers, got \(1, ",
        ),
        (add, {"output": None}, r"^layer 'add': output must be ActType, got None$"),
        (
            max_pool,
            {"kernel_size": (0, 1)},
            r"^layer 'pool': kernel_size must be 1\.\.65535, got \(0",
        ),
        (
            max_pool,
            {"kernel_size": None},
            r"^layer 'pool': kernel_size must be 2 integers, got None",
        ),
        (max_pool, {"stride": (1, 0)}, r"^layer 'pool': stride must be at least 1, got \(1, 0\)$"),
        (
            max_pool,
            {"padding": (2, 0, 0, 0)},
            r"^layer 'pool': padding must be at least 0 and less",
        ),
        (
            avg_pool,
            {"padding": (0, 0, 0, 1)},
            r"^layer 'avg': global pooling takes no padding, got",
        ),
        (avg_pool, {"kernel_size": 2}, r"^layer 'avg': kernel_size must be 2 integers, got 2$"),
        (
            avg_pool,
            {"requantize": INT8},
            r"^layer 'avg': requantize must be Requantize, got ActType",
        ),
        (flatten, {"name": None}, r"^layer None: name must consist of .*; got None$"),
        (flatten, {"input": None}, r"^layer 'flat': input must be str, got None$"),
    ],
)
def test_rejects_a_wrong_field(
    make: Callable[..., Layer], fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(NetworkError, match=message):
        make(**fields)


@pytest.mark.parametrize("make", MAKERS)
def test_no_value_of_any_field_crashes(make: Callable[..., Layer]) -> None:
    fields = type(make()).__dataclass_fields__
    for field in fields:
        for value in ODD:
            try:
                make(**{field: value})
            except NetworkError as error:
                assert all(str(problem).startswith("layer ") for problem in error.problems)
            else:
                accepted = ("input", "mask", "kernel_size", "counted", "name", "shifts")
                assert field in accepted, (field, value)


@pytest.mark.parametrize(
    ("make", "fields", "count"),
    [
        (
            conv,
            {
                "name": "1",
                "weight": np.full((2, 3, 3, 2), 99),
                "weight_bits": 4,
                "bias": [1],
                "requantize": Requantize(
                    multiplier=np.array([1, 2, 3]), shift=np.array([0]), clamp=(0, 500)
                ),
                "stride": (0, 0),
                "padding": (9, 9, 9, 9),
                "groups": 7,
                "pattern": Pattern(select=KOutOfN(1, 2, shared_by=3), taps=Strided(7, (0,))),
            },
            13,
        ),
        (linear, {"name": 0, "input": 0, "weight": 0, "bias": None, "output": 0, "mask": 0}, 6),
        (add, {"name": "", "inputs": (), "multipliers": 0, "requantize": 0, "output": 0}, 5),
        (max_pool, {"name": "", "input": 0, "kernel_size": 0, "stride": 0, "padding": 0}, 5),
        (avg_pool, {"kernel_size": (0, 0), "stride": (0, 0), "requantize": 0, "output": 0}, 4),
    ],
)
def test_reports_all_problems_of_a_layer(
    make: Callable[..., Layer], fields: dict[str, Any], count: int
) -> None:
    with pytest.raises(NetworkError) as error:
        make(**fields)
    assert len(error.value.problems) == count
    assert str(error.value).startswith(f"{count} problems:\n  - layer ")


def test_bias_has_40_bits() -> None:
    edges = [-(1 << 39), (1 << 39) - 1]
    assert linear(bias=edges).bias.tolist() == edges
    for wrong in ([edges[0] - 1, 0], [0, edges[1] + 1]):
        with pytest.raises(NetworkError, match=r"^layer 'fc': bias must fit 40 bits signed, got"):
            linear(bias=wrong)


def test_weights_outside_the_mask_must_be_zero() -> None:
    mask = np.array([[True, False], [False, True]])
    pattern = Pattern(select=KOutOfN(1, 2))
    fields = {"bias": [0, 0], "pattern": pattern, "mask": mask}
    with pytest.raises(NetworkError, match=r"^layer 'fc': weights must be 0 where the mask is Fa"):
        linear(weight=[[1, 1], [0, 1]], **fields)
    kept = linear(weight=[[0, 0], [0, -1]], **fields)
    assert kept.mask is not None and kept.mask.tolist() == mask.tolist(), "a kept weight may be 0"


def test_one_bit_weights_are_zero_where_masked() -> None:
    fields = {"bias": [0], "weight_bits": 1, "pattern": Pattern(select=KOutOfN(1, 2))}
    mask = np.array([[True, False]])
    assert linear(weight=[[-1, 0]], mask=mask, **fields).weight.tolist() == [[-1, 0]]
    with pytest.raises(NetworkError, match=r"^layer 'fc': 1-bit weights must be"):
        linear(weight=[[0, 0]], mask=mask, **fields)


def test_a_nonconforming_mask_is_named() -> None:
    mask = np.array([[True, True, False, True]])
    with pytest.raises(NetworkError) as error:
        linear(weight=[[1, 1, 0, 1]], bias=[0], mask=mask, pattern=Pattern(select=KOutOfN(1, 2)))
    assert error.value.problems == (
        (
            "layer 'fc': filter 0, group 0 (input channels 0..1) at tap (0, 0) keeps 2 weights, "
            "but 1-out-of-2 needs 1"
        ),
    )


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

"""Fields that layers refuse, all problems at once."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from systolith.network import (
    KOutOfN,
    Layer,
    NetworkError,
    Pattern,
    Requantize,
    Strided,
)
from tests.support.layers import INT8, MAKERS, add, avg_pool, conv, flatten, linear, max_pool

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

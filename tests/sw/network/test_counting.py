"""Requantization that counts thresholds: against loops, PyTorch, files, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from systolith.frontend import mirror
from systolith.network import (
    ActType,
    Conv2d,
    DepthToSpace,
    IntegerNetwork,
    Linear,
    NetworkError,
    Overflow,
    Requantize,
    Rounding,
    SpaceToDepth,
    Tensor,
    apply_layer,
    forward,
    requantize,
)
from systolith.network.storage import load, save
from tests.support.oracle import requantize_one

U2 = ActType(bits=2, signed=False)


@given(
    rows=st.lists(
        st.lists(st.integers(-20, 20), min_size=3, max_size=3).map(sorted), min_size=1, max_size=3
    ),
    signed=st.booleans(),
)
def test_equals_loops(rows: list[list[int]], signed: bool) -> None:
    spec, output = Requantize.by_thresholds(rows), ActType(bits=2, signed=signed, zero_point=1)
    acc = np.repeat(np.arange(-22, 23)[:, None], 3 if len(rows) == 2 else len(rows), axis=1)
    if len(rows) == 2:
        with pytest.raises(NetworkError, match="thresholds need 1 or 3 rows, got 2"):
            requantize(acc, spec, output)
        return
    found = requantize(acc, spec, output)
    expected = [[requantize_one(int(a), spec, c, output) for c, a in enumerate(r)] for r in acc]
    assert found.tolist() == expected


def _network() -> IntegerNetwork:
    rng = np.random.default_rng(0)
    conv = Conv2d(
        name="conv",
        input="input",
        weight=rng.choice([-1, 1], (4, 2, 3, 3)),
        bias=rng.integers(-3, 4, 4),
        weight_bits=1,
        requantize=Requantize.by_thresholds(np.sort(rng.integers(-9, 9, (4, 3)), axis=1)),
        output=U2,
    )
    return IntegerNetwork(
        input=Tensor((2, 5, 5), ActType(bits=1, signed=False, zero_point=1)), layers=(conv,)
    )


def test_pytorch_and_files_have_the_same(tmp_path: Path) -> None:
    network = _network()
    images = np.random.default_rng(1).integers(0, 2, (5, 2, 5, 5))
    wanted = forward(network, images)["conv"]
    assert np.array_equal(mirror(network)(torch.from_numpy(images)).numpy(), wanted)
    save(network, tmp_path / "network.json")
    again = load(tmp_path / "network.json")
    assert np.array_equal(forward(again, images)["conv"], wanted)
    assert len({*wanted.ravel().tolist()}) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thresholds": [[3, 1]]}, "thresholds must ascend in each channel"),
        ({"thresholds": [1, 2]}, r"thresholds must have shape .*, got \(2,\)"),
        ({"thresholds": [[0.5]]}, "thresholds must be integers, got float64"),
        ({"thresholds": [[1 << 47]]}, "thresholds must fit 48 bits signed"),
        ({"thresholds": [[1]], "clamp": (0, 1)}, "no offset, ties up, saturation and no clamp"),
        ({"thresholds": [[1]], "shift": [1]}, "thresholds go with multiplier 1, shift 0"),
        ({"thresholds": [[1]], "offset": [1]}, "thresholds go with multiplier 1, shift 0"),
        ({"thresholds": [[1]], "rounding": Rounding.FLOOR}, "thresholds go with multiplier 1"),
        ({"thresholds": [[1]], "overflow": Overflow.WRAP}, "thresholds go with multiplier 1"),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    plain: dict[str, Any] = {"multiplier": [1], "shift": [0]}
    with pytest.raises(NetworkError, match=message):
        Requantize(**{**plain, **changes})


def test_refuses_more_levels_than_integers() -> None:
    with pytest.raises(NetworkError, match="thresholds of uint2 are at most 3 .*, got 4"):
        Linear(
            name="fc",
            input="input",
            weight=np.ones((2, 2), int),
            bias=np.zeros(2, int),
            requantize=Requantize.by_thresholds([[1, 2, 3, 4]]),
            output=U2,
        )


def test_no_images_can_be_moved() -> None:
    image = Tensor((4, 2, 2), U2)
    for layer, shape in (
        (DepthToSpace(name="d", input="input", block=2), (0, 1, 4, 4)),
        (SpaceToDepth(name="s", input="input", block=2), (0, 16, 1, 1)),
    ):
        assert apply_layer(layer, [np.zeros((0, 4, 2, 2), int)], [image]).shape == shape

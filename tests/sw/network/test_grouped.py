"""Convolutions of several groups, written as sparse ones of a single group."""

import re

import numpy as np
import pytest

from systolith.network import (
    ActType,
    Conv2d,
    Dense,
    Granularity,
    IntArray,
    KOutOfN,
    NetworkError,
    Pattern,
    PerNeuron,
    Requantize,
    Strided,
    Tensor,
    ungroup_pattern,
    ungroup_weights,
)

GROUPS, SHAPE = 2, (8, 4, 2, 3)
"""Of the weights: 4 filters of each group, 4 channels that each reads."""

PATTERNS = {
    Pattern(): "4-out-of-8 kernels shared by 4",
    Pattern(select=KOutOfN(1, 2)): "2-out-of-8",
    Pattern(select=KOutOfN(3, 4, shared_by=8)): "3-out-of-8 shared by 4",
    Pattern(select=KOutOfN(1, 4, Granularity.KERNEL, 2)): "1-out-of-8 kernels shared by 2",
    Pattern(select=PerNeuron(5, 8)): "5 per neuron shared by 4",
    Pattern(taps=Strided(2, (1,) * 4)): "4-out-of-8 kernels shared by 4, every 2. tap",
    Pattern(select=KOutOfN(2, 4), taps=Strided(3, (2,) * 4)): "2-out-of-8, every 3. tap",
    Pattern(select=PerNeuron(3), taps=Strided(2, (0, 1, 1, 0))): "3 per neuron, every 2. tap",
}


def _conv(weight: IntArray, groups: int, pattern: Pattern | None) -> Conv2d:
    whole = ungroup_weights(weight, groups, pattern, None if pattern is None else weight != 0)
    return Conv2d(
        name="conv",
        input="input",
        weight=whole.weight,
        bias=np.arange(len(weight)),
        requantize=Requantize(multiplier=np.array([1]), shift=np.array([0])),
        output=ActType(bits=8, signed=True),
        groups=whole.groups,
        pattern=whole.pattern,
        mask=whole.mask,
    )


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_sums_are_those_of_each_group_by_itself(pattern: Pattern) -> None:
    rng = np.random.default_rng(3)
    weight = rng.integers(1, 99, SHAPE) * pattern.best_mask(rng.random(SHAPE))
    images = rng.integers(0, 256, (2, GROUPS * SHAPE[1], 4, 5))
    act = ActType(bits=8, signed=False, zero_point=3)
    parts = [
        _conv(own, 1, None).accumulate([given], [Tensor(given.shape[1:], act)])
        for own, given in zip(
            np.split(weight, GROUPS), np.split(images, GROUPS, axis=1), strict=True
        )
    ]
    layer = _conv(weight, GROUPS, pattern)
    assert str(layer.pattern) == PATTERNS[pattern]
    bias = (np.arange(SHAPE[0]) - np.tile(np.arange(4), GROUPS))[:, None, None]
    found = layer.accumulate([images], [Tensor(images.shape[1:], act)])
    assert np.array_equal(found, np.concatenate(parts, axis=1) + bias)
    assert layer.mask is not None
    assert layer.pattern.kept(layer.weight_shape) == layer.mask.sum() == (weight != 0).sum()


@pytest.mark.parametrize(("groups", "channels"), [(1, 4), (3, 1)])
def test_one_group_and_depthwise_stay_as_they_are(groups: int, channels: int) -> None:
    weight = np.ones((6, channels, 3, 3), dtype=np.int64)
    found = ungroup_weights(weight, groups)
    assert found.weight is weight and found.groups == groups
    assert found.pattern == Pattern() and found.mask is None


@pytest.mark.parametrize("select", [Dense(), KOutOfN(1, 1)])
def test_taps_of_other_offsets_in_a_group_are_refused(select: Dense | KOutOfN) -> None:
    pattern = Pattern(select=select, taps=Strided(2, (0, 1, 0, 1)))
    problem = (
        "strided taps of a convolution of 2 groups need one offset for all channels, got [0, 1]"
    )
    with pytest.raises(NetworkError, match=f"^{re.escape(problem)}$"):
        ungroup_pattern(pattern, SHAPE, GROUPS)


def test_a_pattern_that_does_not_fit_the_groups_is_refused() -> None:
    problem = "1-out-of-8 pruning needs input channels divisible by 8, got 4"
    with pytest.raises(NetworkError, match=f"^{problem}$"):
        ungroup_pattern(Pattern(select=KOutOfN(1, 8)), SHAPE, GROUPS)

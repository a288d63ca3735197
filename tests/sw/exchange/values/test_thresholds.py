"""Steps of quantizers, compared with rational arithmetic at every level."""

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.exchange.values.thresholds import compute_staircase, find_exact_requantizer
from systolith.exchange.values.value import FloatArray
from systolith.network import IntArray, Rounding

SUMS = (-(1 << 16), 1 << 16)


def _first(
    scale: float, offset: float, unit: float, level: int, rounding: Rounding, *, odd: bool
) -> int:
    """The least sum that reaches a level, in rationals."""
    edge = Fraction(2 * level - rounding.to_nearest, 2)
    distance = edge * Fraction(unit) - Fraction(offset)
    down = rounding is Rounding.HALF_EVEN and bool(level % 2) != odd
    if scale == 0:
        reached = distance < 0 or (distance == 0 and not down)
        return SUMS[0] if reached else SUMS[1] + 1
    exact = distance / Fraction(scale)
    tie = exact.denominator == 1 and down
    return min(max(ceil(exact) + tie, SUMS[0]), SUMS[1] + 1)


POWERS = st.integers(-9, 3).map(lambda power: 2.0**power)
WIDE = st.floats(0.5, 1.0)
"""Of 53 bits: edges of them do not fit 64."""


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_steps_are_those_of_rational_arithmetic(data: st.DataObject) -> None:
    common = data.draw(st.just(1.0) | WIDE)
    channels = data.draw(st.integers(1, 3))
    scale = np.array([common * data.draw(POWERS | st.just(0.0)) for _ in range(channels)])
    unit = common * data.draw(POWERS)
    shares = st.integers(-99, 99).map(lambda number: number / 2)
    offset = np.array([unit * data.draw(shares) for _ in range(channels)])
    rounding, odd = data.draw(st.sampled_from(Rounding)), data.draw(st.booleans())
    staircase = compute_staircase(
        scale, offset, unit, rounding=rounding, levels=(-20, 33), sums=SUMS, odd=odd
    )
    if staircase is None:
        assert common != 1.0, "only offsets that 53 bits do not hold are given up"
        return
    right = [
        [_first(*each, unit, int(level), rounding, odd=odd) for level in staircase.levels]
        for each in zip(scale.tolist(), offset.tolist(), strict=True)
    ]
    assert staircase.first.tolist() == right


@pytest.mark.parametrize("share", [1.0, 0.1, 1 / 3])
def test_thresholds_near_whole_sums_are_told_from_whole_ones(share: float) -> None:
    staircase = compute_staircase(
        np.array([share * 2.0**-6]),
        np.array([share * 2.0**-52]),
        share * 2.0**-3,
        rounding=Rounding.HALF_EVEN,
        levels=(-8, 7),
        sums=(-100, 100),
    )
    assert staircase is None, "2**-46 of a sum away from a whole one is not noticed"
    tied = compute_staircase(
        np.array([share * 2.0**-6]),
        np.array([share * 2.0**-4]),
        share * 2.0**-3,
        rounding=Rounding.HALF_EVEN,
        levels=(-8, 7),
        sums=(-100, 100),
    )
    assert tied is not None
    edges = 8 * tied.levels - 4 - 4
    assert tied.first[0].tolist() == (edges + tied.levels % 2).tolist()


def _every_width(
    scale: FloatArray, offset: FloatArray, levels: int, most: int
) -> list[tuple[IntArray, int]]:
    """All multipliers of 1..24 bits that give the staircase for some offset, by trying sums."""
    sums = np.arange(-most, most + 1)
    right = np.floor(scale[:, None] * sums + offset[:, None] + 0.5).clip(0, levels)
    good = []
    for width in range(1, 25):
        shift = width - int(np.frexp(scale.max())[1])
        multiplier = np.rint(scale * 2.0**shift).astype(np.int64)
        low, high = (np.full(len(scale), each) for each in (-(1 << 40), 1 << 40))
        for channel, row in enumerate(right):
            for acc, level in zip(sums.tolist(), row.tolist(), strict=True):
                product, half = int(multiplier[channel]) * acc, 1 << shift >> 1
                if level > 0:
                    low[channel] = max(low[channel], (int(level) << shift) - half - product)
                if level < levels:
                    high[channel] = min(
                        high[channel], (int(level + 1) << shift) - half - product - 1
                    )
        if multiplier.max() < 1 << width and (low <= high).all():
            good.append((multiplier, shift))
    return good


@pytest.mark.parametrize("levels", [3, 15, 100])
def test_the_narrowest_multiplier_is_found(levels: int) -> None:
    rng = np.random.default_rng(levels)
    scale, offset = rng.uniform(0.1, 0.9, 2), rng.normal(size=2)
    stairs = compute_staircase(
        scale, offset, 1.0, rounding=Rounding.HALF_UP, levels=(0, levels), sums=(-150, 150)
    )
    assert stairs is not None
    steps = find_exact_requantizer(stairs, scale, offset, 24, Rounding.HALF_UP)
    multiplier, shift = _every_width(scale, offset, levels, 150)[0]
    assert steps is not None
    assert steps.shift == shift and steps.multiplier.tolist() == multiplier.tolist()

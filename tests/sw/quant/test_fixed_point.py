import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.quant import to_fixed_point


def _scales(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@settings(deadline=None)
@given(st.floats(2.0**-30, 60000.0), st.lists(st.floats(1 / 64, 1), min_size=1, max_size=5))
def test_error_is_below_a_thousandth_within_a_spread_of_64(
    largest: float, ratios: list[float]
) -> None:
    scale = _scales(largest, *(largest * ratio for ratio in ratios))
    fixed = to_fixed_point(scale)
    assert 0 <= fixed.shift <= 47
    assert fixed.multiplier.min() >= 0 and fixed.multiplier.max() <= 65535
    value = fixed.multiplier.double() / 2.0**fixed.shift
    assert ((value / scale - 1).abs() <= 2.0**-10).all()
    assert (value[0] / largest - 1).abs() <= 2.0**-16


@pytest.mark.parametrize("exponent", range(-47, 1))
def test_a_power_of_two_is_a_shift(exponent: int) -> None:
    fixed = to_fixed_point(_scales(2.0**exponent, 2.0**exponent))
    assert fixed.multiplier.tolist() == [1, 1]
    assert fixed.shift == -exponent


def test_scales_above_the_largest_multiplier_saturate() -> None:
    fixed = to_fixed_point(_scales(1e9, 0.5))
    assert (fixed.multiplier.tolist(), fixed.shift) == ([65535, 1], 0)


@pytest.mark.parametrize("bad", [0.0, -1.0, torch.nan, torch.inf])
def test_refuses_what_is_no_positive_number(bad: float) -> None:
    message = f"scales must be positive numbers, got [1.0, {bad}]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        to_fixed_point(_scales(1.0, bad))

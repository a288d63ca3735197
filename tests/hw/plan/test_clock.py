"""The model of the clock."""

import re

import pytest

from systolith.plan import SPEED_FACTORS, fmax_of


def test_a_larger_design_is_slower_and_a_faster_grade_is_faster() -> None:
    by_size = [fmax_of(luts) for luts in (1_000, 5_000, 20_000, 60_000)]
    assert by_size == sorted(by_size, reverse=True) and len(set(by_size)) == 4
    by_grade = [fmax_of(10_000, speed=speed) for speed in sorted(SPEED_FACTORS)]
    assert by_grade == sorted(by_grade) and len(set(by_grade)) == 3


@pytest.mark.parametrize(
    ("luts", "speed", "message"),
    [(0, 6, "at least one LUT, got 0"), (100, 5, "speed must be one of 6, 7, 8, got 5")],
)
def test_what_is_no_design_is_refused(luts: int, speed: int, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        fmax_of(luts, speed=speed)

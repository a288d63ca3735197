"""Stall patterns check their probabilities and have the statistics they promise."""

import pytest

from systolith.bench import PATTERNS, Pause


@pytest.mark.parametrize(
    ("begin", "end", "message"),
    [
        (-0.1, 1.0, r"^begin must be a probability in 0\.\.1, got -0\.1$"),
        (1.5, 1.0, r"^begin must be a probability in 0\.\.1, got 1\.5$"),
        (0.5, 0.0, r"^end must be a probability above 0 and at most 1, got 0\.0$"),
    ],
)
def test_refuses_what_is_no_probability(begin: float, end: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pause(begin=begin, end=end)


def test_certainty_is_two_to_the_32() -> None:
    assert Pause().thresholds == (0, 1 << 32)
    assert Pause.random(0.25).thresholds == (1 << 30, 3 << 30)
    assert Pause.bursts(pause_cycles=4, run_cycles=2).thresholds == (1 << 31, 1 << 30)


def test_seeds_are_repeatable_distinct_and_not_zero() -> None:
    for stalls in PATTERNS:
        assert stalls.seeds(3) == stalls.seeds(3) != stalls.seeds(4)
        assert all(0 < state < 1 << 32 for state in stalls.seeds(0))

import re

import pytest

from systolith.network import Dense, KOutOfN, Pattern, PerNeuron, Strided
from systolith.prune import Cubic, OneShot, PruneError

SHAPE = (4, 8, 3, 3)


def _k(schedule: Cubic, progress: float, select: KOutOfN | PerNeuron) -> int:
    select_now = schedule.pattern(Pattern(select=select), SHAPE, progress).select
    assert not isinstance(select_now, Dense)
    return select_now.k


def test_one_shot_is_final_from_the_start() -> None:
    final = Pattern(select=KOutOfN(2, 8))
    assert OneShot().pattern(final, SHAPE, 0.0) is final


def test_cubic_follows_its_equation() -> None:
    schedule = Cubic(begin=0.0, end=1.0)
    ks = [_k(schedule, step / 8, KOutOfN(2, 8)) for step in range(9)]
    # 2 + 6 (1 - t)^3 = 8, 6.02, 4.53, 3.46, 2.75, 2.32, 2.09, 2.01, 2, rounded up
    assert ks == [8, 7, 5, 4, 3, 3, 3, 3, 2]


def test_cubic_is_dense_before_and_final_after() -> None:
    schedule = Cubic(begin=0.2, end=0.6)
    assert [_k(schedule, p, KOutOfN(2, 8)) for p in (0.0, 0.2, 0.6, 1.0)] == [8, 8, 2, 2]


def test_cubic_counts_the_weights_that_taps_leave_per_neuron() -> None:
    final = Pattern(select=PerNeuron(4), taps=Strided(3, (0,) * 8))
    assert Cubic().pattern(final, SHAPE, 0.0).select == PerNeuron(24)
    assert Cubic().pattern(final, SHAPE, 1.0) == final


def test_dense_stays_dense() -> None:
    final = Pattern(taps=Strided(3, (0,) * 8))
    assert Cubic().pattern(final, SHAPE, 0.3) is final


def test_refuses_an_empty_interval() -> None:
    message = "schedule needs 0 <= begin < end <= 1, got begin=0.5, end=0.5"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        Cubic(begin=0.5, end=0.5)

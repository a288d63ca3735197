"""Limits of forks and gearboxes."""

import pytest

from systolith.network import ActType, Tensor
from systolith.plan import ForkPlan, GearboxPlan, PlanError

TENSOR = Tensor((6, 2, 2), ActType(bits=4, signed=False))


@pytest.mark.parametrize(
    ("lanes_in", "lanes_out", "message"),
    [
        (4, 6, "lanes in and out must divide one another, got 4 and 6"),
        (6, 4, "lanes in and out must divide one another, got 6 and 4"),
        (0, 4, "lanes must be at least 1, got 0"),
        (2, -1, "lanes must be at least 1, got -1"),
    ],
)
def test_rejects_lanes_of_a_gearbox(lanes_in: int, lanes_out: int, message: str) -> None:
    with pytest.raises(PlanError, match=f"^gearbox 'g': {message}$"):
        GearboxPlan(name="g", tensor=TENSOR, lanes_in=lanes_in, lanes_out=lanes_out)


def test_rejects_a_fork_with_all_its_problems() -> None:
    with pytest.raises(PlanError) as error:
        ForkPlan(name="f", output=TENSOR, lanes=0, depths=(1, 2, 0))
    assert error.value.problems == (
        "fork 'f': lanes must be at least 1, got 0",
        "fork 'f': queue 0 must hold at least 2 transfers, got 1",
        "fork 'f': queue 2 must hold at least 2 transfers, got 0",
    )
    with pytest.raises(PlanError, match="^fork 'f': needs at least one queue$"):
        ForkPlan(name="f", output=TENSOR, lanes=1, depths=())

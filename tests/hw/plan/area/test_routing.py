"""The estimate of place and route: which router, how long, and what has been routed."""

import pytest

from systolith.devices import DEVICES, LARGE_CELLS, Resources
from systolith.plan import estimate_routing

DEVICE = DEVICES["ecp5-85f"]


def test_time_grows_with_cells_and_on_a_full_device() -> None:
    small, large = (
        estimate_routing(Resources(luts=luts, flip_flops=luts), DEVICE) for luts in (5000, 10000)
    )
    full = estimate_routing(Resources(luts=10100, flip_flops=9900), DEVICES["ecp5-12f"])
    assert small is not None and large is not None and full is not None
    assert (small.minutes, large.minutes, full.minutes) == (1.0, 2.0, 4.0)
    assert small.known and large.known
    assert not full.known and full.basis == "83% of the LUTs; the most that has been routed is 82%"


def test_the_router_is_that_of_a_build() -> None:
    for cells, router in ((LARGE_CELLS - 1, "router1"), (LARGE_CELLS, "router2")):
        estimate = estimate_routing(Resources(luts=1000, flip_flops=cells - 1000), DEVICE)
        assert estimate is not None and estimate.router == router


def test_sizes_that_have_not_been_routed_are_told() -> None:
    estimate = estimate_routing(Resources(luts=66_000, flip_flops=70_000), DEVICE)
    assert estimate is not None and not estimate.known and estimate.within_limit is None
    for limit, within in ((60, True), (5, False)):
        limited = estimate_routing(
            Resources(luts=66_000, flip_flops=70_000), DEVICE, limit_minutes=limit
        )
        assert limited is not None and limited.within_limit is within
    assert estimate.basis == (
        "136,000 LUTs and flip-flops; the most that has been routed is 42,000"
    )


@pytest.mark.parametrize("name", ["gw1nr-9", "ice40-up5k", "lifcl-40", "xc7a35t"])
def test_there_is_no_estimate_without_data(name: str) -> None:
    assert estimate_routing(Resources(luts=100, flip_flops=100), DEVICES[name]) is None

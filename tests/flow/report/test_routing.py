"""Words for place and route, before and after it."""

from dataclasses import asdict, replace
from typing import Any

import pytest

from systolith.plan import RoutingEstimate
from systolith.report.routing import describe_estimate

ESTIMATE = RoutingEstimate(
    router="router1", minutes=2.5, known=True, basis="designs of this size have been routed"
)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "about 2.5 minutes with router1; designs of this size have been routed"),
        ({"within_limit": True}, "about 2.5 minutes with router1; designs"),
        ({"within_limit": False}, "NOT SURE: about 2.5 minutes with router1, more than the time"),
        ({"known": False, "basis": "90% of"}, "NOT SURE: about 2.5 minutes with router1; 90% of"),
    ],
)
def test_an_estimate_says_what_is_not_known(changes: dict[str, Any], said: str) -> None:
    assert describe_estimate(asdict(replace(ESTIMATE, **changes))).startswith(said)

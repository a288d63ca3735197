"""Words for place and route: what is estimated beforehand, and what ran."""

from collections.abc import Mapping
from typing import Any

from systolith.report.results import PlacedClock

__all__ = ["describe_estimate", "describe_routing"]


def describe_estimate(routing: Mapping[str, Any]) -> str:
    """Say how long place and route will take, and what is known of such designs."""
    late = routing.get("within_limit") is False
    doubt = "NOT SURE: " if late or not routing["known"] else ""
    minutes = f"about {routing['minutes']:g} minutes with {routing['router']}"
    limit = ", more than the time limit" if late else ""
    return f"{doubt}{minutes}{limit}; {routing['basis']}"


def describe_routing(placed: PlacedClock) -> str:
    """Name what placed and routed best, the clock of the other router, and the tools."""
    others = [
        f"{router} reached {clock:.1f} MHz"
        for router, clock in placed.routes.get(str(placed.best_seed), {}).items()
        if router != placed.best_router
    ]
    tools = [
        f"{tool['name'].removeprefix('yowasp-')} {tool['version']}"
        f"{' on PATH' if tool['native'] else ''}"
        for tool in placed.tools
        if tool["version"]
    ]
    placer = "" if placed.placer == "heap" else f"{placed.placer} placer, "
    best = f"{placer}{placed.best_router} (seed {placed.best_seed})"
    return "; ".join((best, *others, *tools))

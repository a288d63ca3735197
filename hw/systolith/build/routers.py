"""Routers of nextpnr, and the runs of place and route that a build makes.

A seed decides the placement, whatever the router. Each run places again all the same: nextpnr
loses the order of carry cells when it reads a placement, so that their delays are too long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from systolith.build.families import NextPnr
from systolith.devices import LARGE_CELLS

__all__ = ["PATIENCE_S", "Attempt", "Router", "choose_attempts", "router_problem"]

PATIENCE_S = 1200.0
"""Seconds after which router 2 follows if router 1 has not ended and the build may choose."""


class Router(StrEnum):
    """The routers that a build tries with each seed."""

    AUTO = "auto"
    """Router 1; router 2 for large designs, and if router 1 does not end."""
    ROUTER1 = "router1"
    ROUTER2 = "router2"
    BOTH = "both"
    """Both, and the faster result is kept."""


@dataclass(frozen=True, slots=True, order=True)
class Attempt:
    """A run of place and route.

    Attributes
    ----------
    seed : int
        Seed of the placement.
    router : str
        ``"router1"`` or ``"router2"``.
    """

    seed: int
    router: str

    @property
    def name(self) -> str:
        """Begins the names of its files."""
        return f"seed{self.seed}.{self.router}"

    def __str__(self) -> str:
        return f"seed {self.seed}, {self.router}"


def choose_attempts(
    router: Router, nextpnr: NextPnr, cells: int, seeds: int
) -> tuple[list[Attempt], dict[Attempt, Attempt]]:
    """Choose the runs of a build.

    Parameters
    ----------
    router : Router
    nextpnr : NextPnr
    cells : int
        Of the netlist.
    seeds : int
        Seeds are 1 to `seeds`.

    Returns
    -------
    attempts : list of Attempt
        In the order in which they start.
    replacements : dict of Attempt to Attempt
        The run that follows if another one has not ended after :data:`PATIENCE_S`.
    """
    ordered = _order(nextpnr.routers, cells)
    if router is Router.AUTO:
        first, *others = ordered
        attempts = _all_seeds([first], seeds)
        if first != "router1" or not others:
            return attempts, {}
        return attempts, {attempt: Attempt(attempt.seed, others[0]) for attempt in attempts}
    names = ordered if router is Router.BOTH else [router.value]
    return _all_seeds(names, seeds), {}


def router_problem(router: Router, nextpnr: NextPnr) -> str | None:
    """Say why a router cannot be asked for; None if it can."""
    needed = {Router.AUTO: 1, Router.BOTH: 2}.get(router)
    if needed is None and router.value in nextpnr.routers:
        return None
    if needed is not None and len(nextpnr.routers) >= needed:
        return None
    routers = " and ".join(nextpnr.routers)
    return f"router {router.value!r} does not route this device; {routers} does"


def _order(routers: Sequence[str], cells: int) -> list[str]:
    """Put the router first that suits the size of a design."""
    if cells >= LARGE_CELLS:
        return sorted(routers, reverse=True)
    return list(routers)


def _all_seeds(routers: Sequence[str], seeds: int) -> list[Attempt]:
    """List each router with every seed, so that a first result of each seed comes early."""
    return [Attempt(seed, router) for router in routers for seed in range(1, seeds + 1)]

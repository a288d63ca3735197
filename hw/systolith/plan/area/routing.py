"""Estimate of whether a design can be routed, and of the time that it takes, before anything runs.

The time of place and route grows with the LUTs and flip-flops of a design. It is longer if little
of the device is free, because cells find no place and wires no way. Whether a design can be routed
is known only of designs like it: the estimate says whether one of that size has been.
"""

from dataclasses import dataclass

from systolith.devices.budget import Resources
from systolith.devices.device import LARGE_CELLS, Device, Family

__all__ = ["RoutingEstimate", "estimate_routing"]

SECONDS_PER_CELL = 0.006
"""On one core that does nothing else: five arrays of 14,000 to 40,000 LUTs and flip-flops took 50
to 250 s, 0.004 to 0.006 s each."""
FULL, SLOWER = 0.7, 2.0
"""From this share of the LUTs, placement takes longer by this factor: a design of 35,000 LUTs and
flip-flops that took 78 % of the LUTs."""
ROUTED_CELLS = 42_000
"""LUTs and flip-flops of the largest design that has been routed, a ResNet-8 on an ECP5-85F."""
ROUTED_SHARE = 0.82
"""Largest share of the LUTs that has been routed, on an ECP5-25F."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingEstimate:
    """What place and route of a plan will be like.

    Attributes
    ----------
    router : str
        Router that a build takes by default.
    minutes : float
        Of one placement and routing on one core that does nothing else; within a factor of 3.
    known : bool
        Whether designs of this size, and of this share of the LUTs, have been routed.
    basis : str
        What the estimate rests on, in words.
    within_limit : bool or None
        Whether one seed takes at most the limit; None if there is none.
    """

    router: str
    minutes: float
    known: bool
    basis: str
    within_limit: bool | None = None


def estimate_routing(
    taken: Resources, device: Device, *, limit_minutes: float | None = None
) -> RoutingEstimate | None:
    """Estimate place and route of a design on an ECP5; None for other families, without data.

    Parameters
    ----------
    taken : Resources
        Resources of the design.
    device : Device
    limit_minutes : float, optional
        Time limit of the build.
    """
    if device.family is not Family.ECP5:
        return None
    cells, share = taken.luts + taken.flip_flops, taken.luts / device.luts
    minutes = SECONDS_PER_CELL * cells * (SLOWER if share >= FULL else 1.0) / 60
    beyond = []
    if cells > ROUTED_CELLS:
        beyond.append(
            f"{cells:,} LUTs and flip-flops; the most that has been routed is {ROUTED_CELLS:,}"
        )
    if share > ROUTED_SHARE:
        beyond.append(f"{share:.0%} of the LUTs; the most that has been routed is 82%")
    return RoutingEstimate(
        router="router2" if cells >= LARGE_CELLS else "router1",
        minutes=round(minutes, 1),
        known=not beyond,
        basis=" and ".join(beyond) or "designs of this size have been routed",
        within_limit=None if limit_minutes is None else minutes <= limit_minutes,
    )

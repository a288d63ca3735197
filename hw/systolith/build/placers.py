"""Placers of nextpnr."""

from enum import StrEnum

from systolith.build.families import NextPnr

__all__ = ["Placer", "choose_placer", "placer_problem"]


class Placer(StrEnum):
    """The placer of a build."""

    AUTO = "auto"
    """Static where nextpnr has it for the family, else heap."""
    HEAP = "heap"
    """Solves for short wires, and moves cells to free sites, by turns. Knows the slow paths."""
    STATIC = "static"
    """Spreads all cells at once, like charges that repel each other, along short wires. The design
    is placed twice, see :mod:`systolith.build.hard_blocks`."""


def choose_placer(placer: Placer, nextpnr: NextPnr) -> str:
    """Return the name that nextpnr has for the placer of a build."""
    if placer is not Placer.AUTO:
        return placer.value
    return (Placer.STATIC if Placer.STATIC in nextpnr.placers else Placer.HEAP).value


def placer_problem(placer: Placer, nextpnr: NextPnr) -> str | None:
    """Say why a placer cannot be asked for; None if it can."""
    if placer is Placer.AUTO or placer.value in nextpnr.placers:
        return None
    placers = " and ".join(nextpnr.placers)
    return f"placer {placer.value!r} does not place on this device; {placers} does"

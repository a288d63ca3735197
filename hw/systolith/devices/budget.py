"""Resources of a device, and limits on how much of them a design may use."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral

__all__ = [
    "BLOCK_18K",
    "ICE40_BLOCK",
    "KINDS",
    "NOTHING",
    "BlockRam",
    "Budget",
    "Resources",
    "is_integer",
]


@dataclass(frozen=True, slots=True)
class BlockRam:
    """A block of memory with one port that writes and one that reads.

    Parameters
    ----------
    shapes : tuple of pair of int
        Words and bits per word of each way to use it.
    """

    shapes: tuple[tuple[int, int], ...]


BLOCK_18K = BlockRam(((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36)))
"""18 kbit: of ECP5, Gowin, CrossLink-NX; half a block of the 7 series."""
ICE40_BLOCK = BlockRam(((2048, 2), (1024, 4), (512, 8), (256, 16)))
"""SB_RAM40_4K: 4 kbit."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What engines are made of.

    Attributes
    ----------
    multipliers : int
        Of PE arrays, whatever they are made of.
    dsps : int
        Multipliers of the device: those of PE arrays that are no LUTs, and of requantizers.
    luts : int
        Estimate.
    block_rams : int
        Blocks of memory.
    flip_flops : int
        Estimate.
    """

    multipliers: int = 0
    dsps: int = 0
    luts: int = 0
    block_rams: int = 0
    flip_flops: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(*(getattr(self, kind) + getattr(other, kind) for kind in KINDS))

    def without(self, other: "Resources") -> "Resources":
        """What is left of each; no less than 0."""
        return Resources(*(max(getattr(self, kind) - getattr(other, kind), 0) for kind in KINDS))

    def at_least(self, other: "Resources") -> "Resources":
        """Of each as much as whoever has more."""
        return Resources(*(max(getattr(self, kind), getattr(other, kind)) for kind in KINDS))


NOTHING = Resources()

KINDS = {
    "multipliers": "multipliers in PE arrays",
    "dsps": "DSP multipliers",
    "luts": "LUTs",
    "block_rams": "block RAMs",
    "flip_flops": "flip-flops",
}
"""Names of the resources, and what people call them."""

SHARES = Resources(multipliers=156, dsps=156, luts=83640, block_rams=208)
"""What shares are of where there is no limit: an ECP5-85F."""
SHARE = 1 << 20
WEIGHTS = {"dsps": 1, "luts": 8, "block_rams": 1}
"""What shares count, against each other. LUTs that are left make placement and routing easier, and
the clock faster; multipliers and blocks of memory that are left are of no use to anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits on resources; None is no limit.

    Parameters
    ----------
    multipliers, dsps, luts, block_rams, flip_flops : int, optional
        At most so many, see :class:`Resources`.
    block : BlockRam
        What a block of memory is.
    distributed : bool
        Whether LUTs can be memory that is written; without, window buffers are block RAM.
    """

    multipliers: int | None = None
    dsps: int | None = None
    luts: int | None = None
    block_rams: int | None = None
    flip_flops: int | None = None
    block: BlockRam = BLOCK_18K
    distributed: bool = True

    @property
    def limits(self) -> dict[str, int]:
        """The limits that there are, by resource."""
        given = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: limit for kind, limit in given.items() if limit is not None}

    @property
    def trades_luts(self) -> bool:
        """Whether LUTs may multiply: only where both they and DSP multipliers are limited."""
        return self.dsps is not None and self.luts is not None

    def left(self, taken: Resources) -> "Budget":
        """What is left if something else takes some."""
        limits = {kind: max(most - getattr(taken, kind), 0) for kind, most in self.limits.items()}
        return replace(self, **limits)

    def problems(self) -> Iterator[str]:
        """Name every limit that is none."""
        for kind, limit in self.limits.items():
            if not is_integer(limit):
                yield f"the budget of {KINDS[kind]} must be an integer, got {limit!r}"

    def exceeded(self, used: Resources) -> Iterator[str]:
        """Name the resources of which more is used than there is."""
        for kind, limit in self.limits.items():
            if getattr(used, kind) > limit:
                yield kind

    def share(self, used: Resources) -> int:
        """Add up the shares of the limits, in units of 2**-20, each by its weight.

        LUTs weigh 8 times as much as DSPs and block RAMs; multipliers in PE arrays weigh nothing of
        their own.
        """
        return sum(
            getattr(used, kind) * max(weight * SHARE // max(self.limits.get(kind, most), 1), 1)
            for kind, weight in WEIGHTS.items()
            if (most := getattr(SHARES, kind))
        )


def is_integer(value: object) -> bool:
    """Whether something is an integer."""
    return isinstance(value, Integral) and not isinstance(value, bool)

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
    """A block RAM with a write port and a read port.

    Parameters
    ----------
    shapes : tuple of pair of int
        Words and bits per word of each configuration.
    """

    shapes: tuple[tuple[int, int], ...]


BLOCK_18K = BlockRam(((16384, 1), (8192, 2), (4096, 4), (2048, 9), (1024, 18), (512, 36)))
"""18 kbit, of ECP5, Gowin and CrossLink-NX; half a block of the 7 series."""
ICE40_BLOCK = BlockRam(((2048, 2), (1024, 4), (512, 8), (256, 16)))
"""SB_RAM40_4K, 4 kbit."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Amounts of each resource of a device.

    Attributes
    ----------
    multipliers : int
        Multipliers in PE arrays, of DSPs or of LUTs.
    dsps : int
        Multipliers of the device, in PE arrays and in requantizers.
    luts : int
        LUTs, estimated.
    block_rams : int
        Block RAMs.
    flip_flops : int
        Flip-flops, estimated.
    """

    multipliers: int = 0
    dsps: int = 0
    luts: int = 0
    block_rams: int = 0
    flip_flops: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        return Resources(*(getattr(self, kind) + getattr(other, kind) for kind in KINDS))

    def without(self, other: "Resources") -> "Resources":
        """Subtract each amount; at least 0 is left."""
        return Resources(*(max(getattr(self, kind) - getattr(other, kind), 0) for kind in KINDS))

    def at_least(self, other: "Resources") -> "Resources":
        """Take the larger amount of each resource."""
        return Resources(*(max(getattr(self, kind), getattr(other, kind)) for kind in KINDS))


NOTHING = Resources()

KINDS = {
    "multipliers": "multipliers in PE arrays",
    "dsps": "DSP multipliers",
    "luts": "LUTs",
    "block_rams": "block RAMs",
    "flip_flops": "flip-flops",
}
"""Names of the resources in code, and in messages."""

SHARES = Resources(multipliers=156, dsps=156, luts=83640, block_rams=208)
"""Amounts of an ECP5-85F; shares of resources without a limit refer to them."""
SHARE = 1 << 20
"""Units of a whole share."""
WEIGHTS = {"dsps": 1, "luts": 16, "block_rams": 2}
"""Weights of the shares. Unused LUTs ease placement and routing and so raise the clock frequency.
Unused DSPs have no value: a product of 4 bits in LUTs shall weigh more than a DSP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits on resources; None means no limit.

    Parameters
    ----------
    multipliers, dsps, luts, block_rams, flip_flops : int, optional
        Largest amounts, see :class:`Resources`.
    block : BlockRam
        Block RAM of the device.
    distributed : bool
        Whether LUTs can be RAM. Otherwise window buffers are block RAM.
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
        """Limits by resource, without resources that have none."""
        limits = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: limit for kind, limit in limits.items() if limit is not None}

    @property
    def trades_luts(self) -> bool:
        """Whether LUTs may multiply: only if both LUTs and DSP multipliers are limited."""
        return self.dsps is not None and self.luts is not None

    def left(self, taken: Resources) -> "Budget":
        """Return the budget that is left when `taken` is used."""
        limits = {kind: max(most - getattr(taken, kind), 0) for kind, most in self.limits.items()}
        return replace(self, **limits)

    def problems(self) -> Iterator[str]:
        """Name every invalid limit."""
        for kind, limit in self.limits.items():
            if not is_integer(limit):
                yield f"the budget of {KINDS[kind]} must be an integer, got {limit!r}"

    def exceeded(self, used: Resources) -> Iterator[str]:
        """Yield the names of resources whose limit is exceeded."""
        for kind, limit in self.limits.items():
            if getattr(used, kind) > limit:
                yield kind

    def share(self, used: Resources) -> int:
        """Add up the weighted shares of the limits, in units of 2**-20.

        LUTs weigh 8 times as much as DSPs and block RAMs. Multipliers in PE arrays have no weight
        of their own.
        """
        return sum(
            getattr(used, kind) * max(weight * SHARE // max(self.limits.get(kind, most), 1), 1)
            for kind, weight in WEIGHTS.items()
            if (most := getattr(SHARES, kind))
        )


def is_integer(value: object) -> bool:
    """Whether a value is an integer, and no bool."""
    return isinstance(value, Integral) and not isinstance(value, bool)

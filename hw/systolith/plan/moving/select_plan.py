"""Selection of channels by registers that narrow transfers fill and empty."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from systolith.network import Tensor
from systolith.plan.errors import PlanError

__all__ = ["SelectPlan", "least_block"]


@dataclass(frozen=True, kw_only=True)
class SelectPlan:
    """A register of `block` neighbouring channels: filled, then emptied in the selected order.

    Whole transfers in their order need a register of one transfer: others are dropped. Any
    selection works with a register of all channels.

    Parameters
    ----------
    name : str
        The layer.
    input, output : Tensor
        Tensor of all channels, and of the selected ones.
    channels : tuple of int
        Number of each selected channel.
    lanes_in, lanes_out : int
        Channels in one input transfer, a divisor of the block; and in one output transfer, a
        divisor of the selected channels of each block.
    block : int
        Channels in the register; a divisor of the input's channels.

    Raises
    ------
    PlanError
        If the lanes or the block do not fit the selection.
    """

    name: str
    input: Tensor
    output: Tensor
    channels: tuple[int, ...]
    lanes_in: int
    lanes_out: int
    block: int

    def __post_init__(self) -> None:
        PlanError.raise_if_any(self._problems())

    @property
    def pixels(self) -> int:
        """Pixels per frame."""
        return self.output.pixels

    @property
    def transfers_in(self) -> int:
        """Input transfers per pixel."""
        return self.input.shape[0] // self.lanes_in

    @property
    def transfers_out(self) -> int:
        """Output transfers per pixel."""
        return len(self.channels) // self.lanes_out

    @cached_property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """Input and output transfers of each filling of the register, for one pixel."""
        fills, blocks = self.block // self.lanes_in, self.input.shape[0] // self.block
        kept = [0] * blocks
        for channel in self.channels:
            kept[channel // self.block] += 1
        return tuple((fills, count // self.lanes_out) for count in kept)

    @cached_property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """Place in the register of each lane of each output transfer of a pixel."""
        places = [channel % self.block for channel in self.channels]
        return tuple(
            tuple(places[start : start + self.lanes_out])
            for start in range(0, len(places), self.lanes_out)
        )

    @property
    def cycles(self) -> int:
        """Cycles per frame: a filling enters while the one before it leaves."""
        return self.pixels * sum(map(max, self._refills()))

    def _refills(self) -> Iterator[tuple[int, int]]:
        """Transfers that leave, and those that enter meanwhile, of each filling that leaves.

        Fillings that are dropped enter with the next one that is not.
        """
        kept = [place for place, (_, empties) in enumerate(self.groups) if empties]
        for this, following in zip(kept, [*kept[1:], kept[0]], strict=True):
            blocks = (following - this - 1) % len(self.groups) + 1
            yield self.groups[this][1], blocks * self.groups[0][0]

    def _problems(self) -> Iterator[str]:
        channels = self.input.shape[0]
        if channels % self.block or self.block % self.lanes_in:
            yield (
                f"selection '{self.name}': the block must divide {channels} channels and be "
                f"divisible by the input's lanes, got {self.block} and {self.lanes_in}"
            )
        elif not _fits(self.channels, self.block, self.lanes_out):
            yield (
                f"selection '{self.name}': blocks of {self.block} channels must follow in their "
                f"order and fill transfers of {self.lanes_out}"
            )


def least_block(channels: tuple[int, ...], total: int, lanes_in: int, lanes_out: int) -> int:
    """Find the smallest register for a selection of `total` channels.

    Parameters
    ----------
    channels : tuple of int
        Selected channels.
    total : int
        Channels of the input.
    lanes_in, lanes_out : int
        Divisors of `total` and of the number of selected channels.
    """
    return next(
        block
        for block in range(lanes_in, total + 1, lanes_in)
        if total % block == 0 and _fits(channels, block, lanes_out)
    )


def _fits(channels: tuple[int, ...], block: int, lanes: int) -> bool:
    """Whether whole transfers can be emptied from block after block."""
    numbers = [channel // block for channel in channels]
    return numbers == sorted(numbers) and all(
        len(list(run)) % lanes == 0 for _, run in groupby(numbers)
    )

"""Boards: their part, and the pins of clock, serial line and LEDs.

The pins come from amaranth-boards.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from amaranth_boards.tang_nano_9k import TangNano9kPlatform
from amaranth_boards.ulx3s import (
    ULX3S_12F_Platform,
    ULX3S_25F_Platform,
    ULX3S_45F_Platform,
    ULX3S_85F_Platform,
)

from systolith.devices.parts import Part, find_part

__all__ = ["BOARDS", "Board", "Constraints", "find_board"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """Pins and electrical standard of a design's ports.

    Parameters
    ----------
    pins : mapping of str to str
        Pin by port. The tools choose the pins of other ports, where they can.
    clock_mhz : float, optional
        Frequency at port `clk`; None if it is the target clock of the design.
    standard : str
        I/O standard of all pins.
    """

    pins: Mapping[str, str]
    clock_mhz: float | None = None
    standard: str = "LVCMOS33"


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A board with an FPGA, a clock, a serial line and LEDs.

    Parameters
    ----------
    name : str
    part : Part
    clock_mhz : float
        Frequency of the oscillator.
    pins : dict of str to str
        Pin of the device by port of the top module.
    lights : int
        Number of LEDs.
    dark_is_one : bool
        Whether the LEDs are active low.
    loader : str
        Name of the board in openFPGALoader.
    """

    name: str
    part: Part
    clock_mhz: float
    pins: dict[str, str]
    lights: int
    dark_is_one: bool = False
    loader: str

    @property
    def constraints(self) -> Constraints:
        """Constraints for a design whose `clk` is the oscillator."""
        return Constraints(pins=self.pins, clock_mhz=self.clock_mhz)


def _board(platform: Any, name: str, part: Part, clock: str, lights: int, loader: str) -> Board:
    """Take the pins from an amaranth-boards platform with one resource per LED."""
    resources = {(entry.name, entry.number): entry for entry in platform.resources}
    oscillator = resources[clock, 0]
    line = {signal.name: signal.ios[0].names[0] for signal in resources["uart", 0].ios}
    leds = [resources["led", number].ios[0] for number in range(lights)]
    return Board(
        name=name,
        part=part,
        clock_mhz=oscillator.clock.frequency / 1e6,
        pins={
            "clk": oscillator.ios[0].names[0],
            "rx": line["rx"],
            "tx": line["tx"],
            **{f"led[{number}]": led.names[0] for number, led in enumerate(leds)},
        },
        lights=lights,
        dark_is_one=leds[0].invert,
        loader=loader,
    )


def _ulx3s(platform: Any, size: str) -> Board:
    part = find_part(f"ecp5-{size}", package="CABGA381")
    return _board(platform, f"ulx3s-{size}", part, "clk25", 8, "ulx3s")


BOARDS: dict[str, Callable[[], Board]] = {
    "ulx3s-12f": lambda: _ulx3s(ULX3S_12F_Platform, "12f"),
    "ulx3s-25f": lambda: _ulx3s(ULX3S_25F_Platform, "25f"),
    "ulx3s-45f": lambda: _ulx3s(ULX3S_45F_Platform, "45f"),
    "ulx3s-85f": lambda: _ulx3s(ULX3S_85F_Platform, "85f"),
    "tangnano9k": lambda: _board(
        TangNano9kPlatform, "tangnano9k", find_part("gw1nr-9"), "clk27", 6, "tangnano9k"
    ),
}
"""Functions that describe a board, by its name."""


def find_board(name: str) -> Board:
    """Look up a board.

    Raises
    ------
    ValueError
        If there is no board of this name.
    """
    if name not in BOARDS:
        raise ValueError(f"there is no board {name!r}; there are {', '.join(BOARDS)}")
    return BOARDS[name]()

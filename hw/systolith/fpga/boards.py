"""Boards: which part they carry, where its clock, serial line and lights are.

Pins are those of amaranth-boards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth_boards.ulx3s import (
    ULX3S_12F_Platform,
    ULX3S_25F_Platform,
    ULX3S_45F_Platform,
    ULX3S_85F_Platform,
)

from systolith.fpga.parts import Part, find_part

__all__ = ["BOARDS", "Board", "find_board"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A board that a design is made for.

    Parameters
    ----------
    name : str
    part : Part
    clock_mhz : float
        Of its oscillator.
    pins : dict of str to str
        Of the device, by port of the top module.
    loader : str
        What openFPGALoader calls it.
    standard : str
        Of all pins.
    """

    name: str
    part: Part
    clock_mhz: float
    pins: dict[str, str]
    loader: str
    standard: str = "LVCMOS33"

    @property
    def constraints(self) -> str:
        """Pins and clock, as an LPF file."""
        lines = [f'FREQUENCY PORT "clk" {self.clock_mhz:g} MHZ;']
        for port, pin in self.pins.items():
            lines.append(f'LOCATE COMP "{port}" SITE "{pin}";')
            lines.append(f'IOBUF PORT "{port}" IO_TYPE={self.standard};')
        return "\n".join(lines) + "\n"


def _ulx3s(platform: Any, size: str) -> Board:
    resources = {(each.name, each.number): each for each in platform.resources}
    clock = resources["clk25", 0]
    line = {signal.name: signal.ios[0].names[0] for signal in resources["uart", 0].ios}
    lights = {f"led[{n}]": resources["led", n].ios[0].names[0] for n in range(8)}
    return Board(
        name=f"ulx3s-{size}",
        part=find_part(f"ecp5-{size}", speed=6, package="CABGA381"),
        clock_mhz=clock.clock.frequency / 1e6,
        loader="ulx3s",
        pins={"clk": clock.ios[0].names[0], "rx": line["rx"], "tx": line["tx"], **lights},
    )


BOARDS: dict[str, Callable[[], Board]] = {
    "ulx3s-12f": lambda: _ulx3s(ULX3S_12F_Platform, "12f"),
    "ulx3s-25f": lambda: _ulx3s(ULX3S_25F_Platform, "25f"),
    "ulx3s-45f": lambda: _ulx3s(ULX3S_45F_Platform, "45f"),
    "ulx3s-85f": lambda: _ulx3s(ULX3S_85F_Platform, "85f"),
}
"""Descriptions by name."""


def find_board(name: str) -> Board:
    """Look a board up.

    Raises
    ------
    ValueError
        If there is no such.
    """
    if name not in BOARDS:
        raise ValueError(f"there is no board {name!r}; there are {', '.join(BOARDS)}")
    return BOARDS[name]()

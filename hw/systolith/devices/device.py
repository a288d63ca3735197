"""Resources of the supported devices.

LUTs, flip-flops, multipliers and block RAMs are those of nextpnr's databases, as a test checks. The
ECP5-12F is a 25F inside; its numbers are those of the half that is sold. All numbers agree with the
data sheets:

- ECP5: Lattice FPGA-DS-02012
- GW1NR-9: Gowin DS117; GW2AR-18: Gowin DS226
- iCE40 HX8K: Lattice FPGA-DS-02029; UP5K: Lattice FPGA-DS-02008
- CrossLink-NX: Lattice FPGA-DS-02049
- Artix-7: Xilinx DS180; Zynq-7000: Xilinx DS190. There are no databases for these.
"""

from dataclasses import dataclass
from enum import Enum

from systolith.devices.budget import BLOCK_18K, ICE40_BLOCK, BlockRam, Budget

__all__ = ["DEVICES", "LARGE_CELLS", "ROUTABLE_PERCENT", "Device", "Family"]

ROUTABLE_PERCENT = 80
"""Share of the LUTs, and of as many flip-flops, that a plan may take; placement and routing need
the rest."""
LARGE_CELLS = 40_000
"""LUTs and flip-flops of a design from which nextpnr's router 2 is taken.

Router 1 takes the longer the fuller the wires are. It was stopped after half an hour on designs of
42,000 and 46,000 LUTs and flip-flops; router 2 routed the first in three minutes. Router 1 ended on
designs of up to 37,000, with clocks that router 2 does not reach.
"""
LOGIC_CELL_PERCENT = 45
"""The same for devices whose logic cells have a LUT and a flip-flop, as many cells use only one
of them: a plan of 4,153 LUTs took 7,241 cells of an iCE40."""
SCARCE_PERCENT = 55
"""Share of the flip-flops that a plan may take, if there are fewer than LUTs. Counts are fitted to
ECP5; digits on a GW2AR-18 took 11 % more than planned. On a GW1NR-9, designs that took 57 % were
placed in minutes, 70 % barely, 77 % not at all."""
NEXUS_PERCENT = 65
"""Share of the LUTs and flip-flops of a CrossLink-NX that a plan may take. Counts are fitted to
ECP5; digits on a LIFCL-17 took about 20 % more of both."""


class Family(Enum):
    """Devices with the same cells."""

    ECP5 = "Lattice ECP5"
    GOWIN = "Gowin GW1N and GW2A"
    ICE40 = "Lattice iCE40"
    NEXUS = "Lattice CrossLink-NX"
    XILINX7 = "Xilinx 7 series"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An FPGA.

    Parameters
    ----------
    name : str
    family : Family
    luts : int
        LUTs of four inputs; of six inputs in the 7 series.
    ffs : int
        Flip-flops of the logic.
    dsps : int
        Multipliers.
    dsp_bits : pair of int
        Widths of a multiplier's signed factors; 0 if there are no multipliers.
    block_rams : int
    block : BlockRam
    distributed : bool
        Whether LUTs can be RAM; otherwise such memories are flip-flops.
    usable_percent, usable_ffs_percent : int
        Shares of the LUTs and of the flip-flops that a plan may take.
    """

    name: str
    family: Family
    luts: int
    ffs: int
    dsps: int
    dsp_bits: tuple[int, int] = (18, 18)
    block_rams: int
    block: BlockRam = BLOCK_18K
    distributed: bool = True
    usable_percent: int = ROUTABLE_PERCENT
    usable_ffs_percent: int = ROUTABLE_PERCENT

    @property
    def budget(self) -> Budget:
        """Resources that a design may take."""
        return Budget(
            dsps=self.dsps,
            luts=self.luts * self.usable_percent // 100,
            block_rams=self.block_rams,
            flip_flops=self.ffs * self.usable_ffs_percent // 100,
            block=self.block,
            distributed=self.distributed,
        )


def _ecp5(size: str, luts: int, dsps: int, block_rams: int) -> Device:
    return Device(
        name=f"ecp5-{size}",
        family=Family.ECP5,
        luts=luts,
        ffs=luts,
        dsps=dsps,
        block_rams=block_rams,
    )


def _gowin(name: str, luts: int, ffs: int, dsps: int, block_rams: int) -> Device:
    return Device(
        name=name,
        family=Family.GOWIN,
        luts=luts,
        ffs=ffs,
        dsps=dsps,
        block_rams=block_rams,
        usable_ffs_percent=SCARCE_PERCENT,
    )


def _ice40(name: str, luts: int, dsps: int, block_rams: int) -> Device:
    return Device(
        name=f"ice40-{name}",
        family=Family.ICE40,
        luts=luts,
        ffs=luts,
        dsps=dsps,
        dsp_bits=(16, 16) if dsps else (0, 0),
        block_rams=block_rams,
        block=ICE40_BLOCK,
        distributed=False,
        usable_percent=LOGIC_CELL_PERCENT,
    )


def _nexus(name: str, luts: int, dsps: int, block_rams: int) -> Device:
    return Device(
        name=name,
        family=Family.NEXUS,
        luts=luts,
        ffs=luts,
        dsps=dsps,
        block_rams=block_rams,
        usable_percent=NEXUS_PERCENT,
        usable_ffs_percent=NEXUS_PERCENT,
    )


def _xilinx(name: str, luts: int, dsps: int, block_rams: int) -> Device:
    """Make a device of the 7 series, whose 36 kbit blocks count as two of 18 kbit."""
    return Device(
        name=name,
        family=Family.XILINX7,
        luts=luts,
        ffs=2 * luts,
        dsps=dsps,
        dsp_bits=(25, 18),
        block_rams=2 * block_rams,
    )


DEVICES = {
    device.name: device
    for device in (
        _ecp5("12f", luts=12144, dsps=28, block_rams=32),
        _ecp5("25f", luts=24288, dsps=28, block_rams=56),
        _ecp5("45f", luts=43848, dsps=72, block_rams=108),
        _ecp5("85f", luts=83640, dsps=156, block_rams=208),
        _gowin("gw1nr-9", luts=8640, ffs=6480, dsps=20, block_rams=26),
        _gowin("gw2ar-18", luts=20736, ffs=15552, dsps=48, block_rams=46),
        _ice40("up5k", luts=5280, dsps=8, block_rams=30),
        _ice40("hx8k", luts=7680, dsps=0, block_rams=32),
        _nexus("lifcl-17", luts=13824, dsps=24, block_rams=24),
        _nexus("lifcl-40", luts=32256, dsps=56, block_rams=84),
        _xilinx("xc7a35t", luts=20800, dsps=90, block_rams=50),
        _xilinx("xc7a100t", luts=63400, dsps=240, block_rams=135),
        _xilinx("xc7z020", luts=53200, dsps=220, block_rams=140),
    )
}
"""Devices by name."""

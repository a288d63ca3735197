"""What the devices have to offer.

Sources: Lattice FPGA-DS-02012, table 1.1 (blocks of memory, multipliers). LUTs are those that
nextpnr finds in its database; of the 12F, which is a 25F inside, the half that is sold.
"""

from dataclasses import dataclass

from systolith.plan.budget import Budget
from systolith.plan.memory import ECP5_BLOCK, BlockRam

__all__ = ["DEVICES", "ROUTABLE_PERCENT", "Device"]

ROUTABLE_PERCENT = 80
"""Share of the LUTs that a plan may take: placement and routing need some to spare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """An FPGA.

    Parameters
    ----------
    name : str
    luts : int
        Of four inputs.
    dsps : int
        Multipliers of 18 x 18 bits.
    block_rams : int
    block : BlockRam
    """

    name: str
    luts: int
    dsps: int
    block_rams: int
    block: BlockRam = ECP5_BLOCK

    @property
    def budget(self) -> Budget:
        """What a design may take of it."""
        return Budget(
            dsps=self.dsps,
            luts=self.luts * ROUTABLE_PERCENT // 100,
            block_rams=self.block_rams,
            block=self.block,
        )


DEVICES = {
    device.name: device
    for device in (
        Device(name="ecp5-12f", luts=12144, dsps=28, block_rams=32),
        Device(name="ecp5-25f", luts=24288, dsps=28, block_rams=56),
        Device(name="ecp5-45f", luts=43848, dsps=72, block_rams=108),
        Device(name="ecp5-85f", luts=83640, dsps=156, block_rams=208),
    )
}
"""By name."""

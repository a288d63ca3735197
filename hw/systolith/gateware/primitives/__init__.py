"""What a device has ready made: multipliers and memories with their own registers.

Each has one behaviour and a fixed latency. In plain Verilog it is described; for a device that is
known, it is made of the device's own cells, with the registers that are in them.
"""

from systolith.gateware.primitives.clock import Ecp5Pll, GowinPll, Pll, choose_pll
from systolith.gateware.primitives.multiplier import Multiplier, multiply
from systolith.gateware.primitives.ram import RegisteredRam

__all__ = [
    "Ecp5Pll",
    "GowinPll",
    "Multiplier",
    "Pll",
    "RegisteredRam",
    "choose_pll",
    "multiply",
]

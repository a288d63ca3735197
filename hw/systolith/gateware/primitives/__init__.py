"""Hard blocks of devices: multipliers, memories, PLLs and carry chains.

Each has the same behaviour and latency on all devices. For known devices it is an instance of the
device's cells, with their built-in registers; for others it is plain Verilog.
"""

from systolith.gateware.primitives.gated_sum import GatedSum, sum_gated
from systolith.gateware.primitives.lut_product import (
    ProductTerm,
    add_in_tree,
    add_to_psum,
    multiply_in_luts,
    product_terms,
)
from systolith.gateware.primitives.multiplier import Multiplier, multiply
from systolith.gateware.primitives.pll import Ecp5Pll, GowinPll, Pll, choose_pll
from systolith.gateware.primitives.ram import RegisteredRam

__all__ = [
    "Ecp5Pll",
    "GatedSum",
    "GowinPll",
    "Multiplier",
    "Pll",
    "ProductTerm",
    "RegisteredRam",
    "add_in_tree",
    "add_to_psum",
    "choose_pll",
    "multiply",
    "multiply_in_luts",
    "product_terms",
    "sum_gated",
]

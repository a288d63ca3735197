"""Xilinx 7 series: synthesis only, for estimates."""

from fractions import Fraction

from systolith.build.families.tools import FamilyTools

__all__ = ["XILINX7"]

LUTS = {f"LUT{inputs}": 1 for inputs in range(1, 7)}
LUT_MEMORIES = {
    **{"RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM32M": 4, "RAM64M": 4},
    **{"SRL16E": 1, "SRLC32E": 1},
}
"""LUTs that one cell uses."""
FLIP_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE")

XILINX7 = FamilyTools(
    synthesis=lambda device: ["synth_xilinx -family xc7 -flatten -noiopad -noclkbuf"],
    cells={
        "LUTs": {kind: Fraction(luts) for kind, luts in (LUTS | LUT_MEMORIES).items()},
        "flip-flops": dict.fromkeys(FLIP_FLOPS, Fraction(1)),
        "multipliers": {"DSP48E1": Fraction(1)},
        "block RAMs": {"RAMB18E1": Fraction(1), "RAMB36E1": Fraction(2)},
    },
)
"""Yosys alone."""

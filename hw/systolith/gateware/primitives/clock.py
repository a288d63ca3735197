"""Another frequency from a board's clock."""

from dataclasses import dataclass
from itertools import product

from amaranth import C, Instance, Module, Signal

__all__ = ["Ecp5Pll", "choose_pll"]

VCO_MHZ = (400.0, 800.0)
COMPARED_MHZ = (3.125, 400.0)
"""Ranges of the oscillator and of the clocks that are compared (Lattice FPGA-DS-02012)."""
MOST_INPUT_DIVISOR, MOST_FEEDBACK, MOST_OUTPUT_DIVISOR = 16, 80, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecp5Pll:
    """Divisors of an EHXPLLL whose output is fed back.

    Parameters
    ----------
    input_mhz : float
    input_divisor, feedback, output_divisor : int
        ``output = input * feedback / input_divisor``; the oscillator runs `output_divisor` times
        as fast.
    """

    input_mhz: float
    input_divisor: int
    feedback: int
    output_divisor: int

    @property
    def output_mhz(self) -> float:
        """What comes out."""
        return self.input_mhz * self.feedback / self.input_divisor

    def place(self, m: Module, source: Signal, clock: Signal) -> Signal:
        """Add it to a module. Returns whether it is locked."""
        locked = Signal(name="pll_locked")
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=f"{self.input_mhz:g}",
            a_FREQUENCY_PIN_CLKOP=f"{self.output_mhz:g}",
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            p_CLKI_DIV=self.input_divisor,
            p_CLKFB_DIV=self.feedback,
            p_CLKOP_DIV=self.output_divisor,
            p_CLKOP_ENABLE="ENABLED",
            p_CLKOP_CPHASE=self.output_divisor - 1,
            p_CLKOP_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            p_PLLRST_ENA="DISABLED",
            i_CLKI=source,
            i_CLKFB=clock,
            i_RST=C(0, 1),
            i_STDBY=C(0, 1),
            i_PHASESEL0=C(0, 1),
            i_PHASESEL1=C(0, 1),
            i_PHASEDIR=C(1, 1),
            i_PHASESTEP=C(1, 1),
            i_PHASELOADREG=C(1, 1),
            i_PLLWAKESYNC=C(0, 1),
            i_ENCLKOP=C(0, 1),
            o_CLKOP=clock,
            o_LOCK=locked,
        )
        return locked


def choose_pll(input_mhz: float, output_mhz: float) -> Ecp5Pll:
    """Find the divisors that come closest to a frequency without exceeding it.

    Raises
    ------
    ValueError
        If nothing comes within a tenth of it.
    """
    fits = [
        Ecp5Pll(
            input_mhz=input_mhz,
            input_divisor=divisor,
            feedback=feedback,
            output_divisor=max(round(sum(VCO_MHZ) / 2 / out), 1),
        )
        for divisor, feedback in product(
            range(1, MOST_INPUT_DIVISOR + 1), range(1, MOST_FEEDBACK + 1)
        )
        if 0.9 * output_mhz <= (out := input_mhz * feedback / divisor) <= output_mhz + 1e-9
        and COMPARED_MHZ[0] <= input_mhz / divisor <= COMPARED_MHZ[1]
    ]
    fits = [
        pll
        for pll in fits
        if VCO_MHZ[0] <= pll.output_mhz * pll.output_divisor <= VCO_MHZ[1]
        and pll.output_divisor <= MOST_OUTPUT_DIVISOR
    ]
    if not fits:
        raise ValueError(f"no PLL makes {output_mhz:g} MHz of {input_mhz:g} MHz")
    return max(fits, key=lambda pll: (pll.output_mhz, -pll.input_divisor))

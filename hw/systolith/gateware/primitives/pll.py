"""PLLs: another frequency from a board's clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Protocol

from amaranth import C, Instance, Module, Signal

from systolith.gateware.cells import Technology

__all__ = ["Ecp5Pll", "GowinPll", "Pll", "choose_pll"]


class Pll(Protocol):
    """A PLL with divisors."""

    @property
    def technology(self) -> Technology:
        """Technology of the cell."""

    @property
    def output_mhz(self) -> float:
        """Output frequency in MHz."""

    def add_to(self, m: Module, source: Signal, clock: Signal) -> Signal:
        """Add the PLL to a module. Returns the signal that says whether it is locked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    """Allowed divisors, and frequencies within a PLL."""

    input_divisors: int
    feedbacks: int
    output_divisors: Iterable[int]
    compared_mhz: tuple[float, float]
    oscillator_mhz: tuple[float, float]

    @property
    def middle_mhz(self) -> float:
        return sum(self.oscillator_mhz) / 2

    def fitting(self, output_mhz: float) -> list[int]:
        """List output divisors with which the oscillator is in its range."""
        low, high = self.oscillator_mhz
        return [divisor for divisor in self.output_divisors if low <= output_mhz * divisor <= high]


ECP5_LIMITS = _Limits(
    input_divisors=16,
    feedbacks=80,
    output_divisors=range(1, 129),
    compared_mhz=(3.125, 400),
    oscillator_mhz=(400, 800),
)
"""Lattice FPGA-DS-02012."""
GOWIN_LIMITS = _Limits(
    input_divisors=64,
    feedbacks=64,
    output_divisors=(2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128),
    compared_mhz=(3, 400),
    oscillator_mhz=(500, 1200),
)
"""Common limits of GW1NR-9 at C6 (Gowin DS117) and GW2AR-18 at C8 (DS226)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Divisors:
    """Input frequency and divisors of a PLL.

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
        """Output frequency in MHz."""
        return self.input_mhz * self.feedback / self.input_divisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecp5Pll(Divisors):
    """An EHXPLLL with feedback from its output."""

    @property
    def technology(self) -> Technology:
        """Technology of the cell."""
        return Technology.ECP5

    def add_to(self, m: Module, source: Signal, clock: Signal) -> Signal:
        """Add the PLL to a module. Returns the signal that says whether it is locked."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class GowinPll(Divisors):
    """An rPLL."""

    @property
    def technology(self) -> Technology:
        """Technology of the cell."""
        return Technology.GOWIN

    def add_to(self, m: Module, source: Signal, clock: Signal) -> Signal:
        """Add the PLL to a module. Returns the signal that says whether it is locked."""
        locked = Signal(name="pll_locked")
        unused = {"FBDSEL": 6, "IDSEL": 6, "ODSEL": 6, "PSDA": 4, "DUTYDA": 4, "FDLY": 4}
        m.submodules.pll = Instance(
            "rPLL",
            p_FCLKIN=f"{self.input_mhz:g}",
            p_IDIV_SEL=self.input_divisor - 1,
            p_FBDIV_SEL=self.feedback - 1,
            p_ODIV_SEL=self.output_divisor,
            p_CLKFB_SEL="internal",
            i_CLKIN=source,
            i_CLKFB=C(0, 1),
            i_RESET=C(0, 1),
            i_RESET_P=C(0, 1),
            **{f"i_{pin}": C(0, bits) for pin, bits in unused.items()},
            o_CLKOUT=clock,
            o_LOCK=locked,
        )
        return locked


def choose_pll(
    input_mhz: float, output_mhz: float, technology: Technology = Technology.ECP5
) -> Pll:
    """Choose the divisors that come closest to a frequency without exceeding it.

    Parameters
    ----------
    input_mhz, output_mhz : float
    technology : Technology
        ECP5 or GOWIN.

    Raises
    ------
    ValueError
        If no divisors come within 10 % of it.
    """
    kind, limits = (
        (GowinPll, GOWIN_LIMITS) if technology is Technology.GOWIN else (Ecp5Pll, ECP5_LIMITS)
    )
    fits = [
        kind(
            input_mhz=input_mhz,
            input_divisor=divisor,
            feedback=feedback,
            output_divisor=min(fitting, key=lambda n: abs(out * n - limits.middle_mhz)),
        )
        for divisor, feedback in product(
            range(1, limits.input_divisors + 1), range(1, limits.feedbacks + 1)
        )
        if 0.9 * output_mhz <= (out := input_mhz * feedback / divisor) <= output_mhz + 1e-9
        and limits.compared_mhz[0] <= input_mhz / divisor <= limits.compared_mhz[1]
        and (fitting := limits.fitting(out))
    ]
    if not fits:
        raise ValueError(f"no PLL makes {output_mhz:g} MHz of {input_mhz:g} MHz")
    return max(fits, key=lambda pll: (pll.output_mhz, -pll.input_divisor))

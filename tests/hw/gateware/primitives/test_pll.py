"""Divisors of a PLL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from systolith.gateware import Technology
from systolith.gateware.primitives import GowinPll, choose_pll


@given(st.floats(min_value=40, max_value=250))
def test_the_output_is_close_and_the_oscillator_in_its_range(wanted: float) -> None:
    pll = choose_pll(25, wanted)
    assert 0.9 * wanted <= pll.output_mhz <= wanted + 1e-6
    assert 400 <= pll.output_mhz * pll.output_divisor <= 800
    assert 3.125 <= pll.input_mhz / pll.input_divisor


# From 27 MHz there are steps of 3 MHz at most: within a tenth of all above 30 MHz.
@given(st.floats(min_value=31, max_value=250))
def test_a_gowin_pll_stays_in_its_ranges(wanted: float) -> None:
    pll = choose_pll(27, wanted, Technology.GOWIN)
    assert isinstance(pll, GowinPll)
    assert 0.9 * wanted <= pll.output_mhz <= wanted + 1e-6
    assert 500 <= pll.output_mhz * pll.output_divisor <= 1200
    assert 3 <= pll.input_mhz / pll.input_divisor


def test_round_frequencies_are_exact() -> None:
    assert [choose_pll(25, wanted).output_mhz for wanted in (50, 100, 125, 200)] == [
        *(50, 100, 125, 200)
    ]


def test_what_no_pll_makes_is_refused() -> None:
    with pytest.raises(ValueError, match="^no PLL makes 1000 MHz of 25 MHz$"):
        choose_pll(25, 1000)

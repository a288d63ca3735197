"""Multipliers that requantizers take: as many as their circuit has."""

from types import SimpleNamespace

import numpy as np
import pytest
from amaranth.back import rtlil

from systolith.gateware import Technology
from systolith.gateware.requantizer import Requantizer, RequantizerShape
from systolith.network import ActType, Requantize
from systolith.plan.area import requantizer_dsps


@pytest.mark.parametrize("acc_bits", [8, 17, 18, 19, 30, 35, 36, 37])
@pytest.mark.parametrize("multiplier_bits", [1, 2, 16, 18, 19, 20, 24])
def test_count_is_that_of_the_circuit(acc_bits: int, multiplier_bits: int) -> None:
    spec = Requantize(multiplier=np.array([0, (1 << multiplier_bits) - 1]), shift=np.array([20]))
    output = ActType(bits=8, signed=True)
    shape = RequantizerShape.of(acc_bits, np.array([0]), spec, output)
    ecp5 = SimpleNamespace(technology=Technology.ECP5)
    text = rtlil.convert(Requantizer(shape), platform=ecp5)
    # The bias makes the sum a bit wider.
    found = text.count("cell \\MULT18X18D")
    assert found == requantizer_dsps(1, acc_bits + 1, multiplier_bits)

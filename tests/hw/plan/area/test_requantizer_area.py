"""Estimated multipliers of requantizers against those of their circuit."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from amaranth.back import rtlil

from systolith.gateware import Requantizer, RequantizerShape, Technology
from systolith.network import ActType, Requantize
from systolith.plan.area.resources import requantizer_dsps
from systolith.plan.sizes.requantizer_plan import RequantizerPlan


@pytest.mark.parametrize("acc_bits", [8, 17, 18, 19, 30, 35, 36, 37])
@pytest.mark.parametrize("multiplier_bits", [1, 2, 16, 18, 19, 20, 24])
def test_count_is_that_of_the_circuit(acc_bits: int, multiplier_bits: int) -> None:
    spec = Requantize(multiplier=np.array([0, (1 << multiplier_bits) - 1]), shift=np.array([20]))
    output = ActType(bits=8, signed=True)
    shape = RequantizerShape.of(acc_bits, np.array([0]), spec, output)
    ecp5 = SimpleNamespace(technology=Technology.ECP5)
    text = rtlil.convert(Requantizer(shape), platform=ecp5)
    found = text.count("cell \\MULT18X18D")
    assert found == requantizer_dsps(1, RequantizerPlan.of(spec, output, sum_bits=acc_bits))


@pytest.mark.parametrize("most", [(1 << 16) - 1, (1 << 17) - 1, (1 << 18) - 1])
def test_slopes_take_no_second_multiplier(most: int) -> None:
    plain = Requantize(multiplier=np.array([most]), shift=np.array([20]))
    for negative in (np.array([most // 9]), np.array([-most])):
        spec = replace(plain, negative=negative)
        output = ActType(bits=8, signed=True)
        shape = RequantizerShape.of(17, np.array([0]), spec, output)
        ecp5 = SimpleNamespace(technology=Technology.ECP5)
        found = rtlil.convert(Requantizer(shape), platform=ecp5).count("cell \\MULT18X18D")
        assert found == requantizer_dsps(1, RequantizerPlan.of(spec, output, sum_bits=17))


@pytest.mark.parametrize("acc_bits", [17, 18, 19, 36, 37])
@pytest.mark.parametrize("multiplier", [0b1011, (1 << 18) - 1, (1 << 20) - 1, 0b101 << 20])
def test_offsets_take_no_multipliers(acc_bits: int, multiplier: int) -> None:
    spec = Requantize(
        multiplier=np.array([multiplier]), shift=np.array([20]), offset=np.array([77])
    )
    output, biases = ActType(bits=8, signed=True), np.array([5])
    shape = RequantizerShape.of(acc_bits, biases, spec, output)
    ecp5 = SimpleNamespace(technology=Technology.ECP5)
    text = rtlil.convert(Requantizer(shape), platform=ecp5)
    found = text.count("cell \\MULT18X18D")
    assert found == requantizer_dsps(
        1, RequantizerPlan.of(spec, output, sum_bits=acc_bits, biases=biases)
    )

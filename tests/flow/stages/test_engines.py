"""Whether narrower multipliers of requantizers would fit where wide ones do not."""

from dataclasses import replace

import numpy as np
import pytest

from systolith.config import BuildSection, HardwareSection
from systolith.network import Conv2d, IntegerNetwork, Linear, Requantize
from systolith.plan import PlanError
from systolith.stages.hardware.engines import narrow_multipliers, plan_engines
from tests.support.networks import small_network

WIDE = (1 << 31) - 3
SURPLUS = 31 - 18


def _with_multipliers(multiplier: int) -> IntegerNetwork:
    network = small_network()
    spec = Requantize(multiplier=np.array([multiplier]), shift=np.array([37]))
    layers = tuple(
        replace(layer, requantize=spec) if isinstance(layer, Conv2d | Linear) else layer
        for layer in network.layers
    )
    return replace(network, layers=layers)


def test_wide_multipliers_become_18_bits() -> None:
    narrow = narrow_multipliers(_with_multipliers(WIDE))
    assert narrow is not None
    for layer in narrow.layers:
        if isinstance(layer, Conv2d | Linear):
            assert layer.requantize.multiplier.tolist() == [WIDE >> SURPLUS]
            assert layer.requantize.shift.tolist() == [37 - SURPLUS]


def test_narrow_ones_stay() -> None:
    assert narrow_multipliers(_with_multipliers((1 << 18) - 1)) is None
    assert narrow_multipliers(small_network()) is None


def _least(network: IntegerNetwork) -> int:
    """Multipliers that a network needs at least."""
    for count in range(1, 200):
        try:
            plan_engines(network, HardwareSection(dsps=count), BuildSection())
        except PlanError:
            continue
        return count
    raise AssertionError("no budget is enough")


def test_the_remedy_is_named_only_where_it_helps() -> None:
    wide, narrow = _with_multipliers(WIDE), _with_multipliers(WIDE >> SURPLUS)
    enough = _least(narrow)
    assert enough < _least(wide)
    with pytest.raises(PlanError, match="it fits: import the model with --multiplier-bits 18"):
        plan_engines(wide, HardwareSection(dsps=enough), BuildSection())
    with pytest.raises(PlanError) as error:
        plan_engines(wide, HardwareSection(dsps=enough - 1), BuildSection())
    assert "--multiplier-bits" not in str(error.value)
    with pytest.raises(PlanError) as error:
        plan_engines(narrow, HardwareSection(dsps=enough - 1), BuildSection())
    assert "--multiplier-bits" not in str(error.value)

"""Resources of an engine's variants: estimated together, and one by one."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from systolith.devices import DEVICES
from systolith.network import Conv2d, IntegerNetwork, Pattern, PerNeuron
from systolith.plan import MemoryKind, MultiplierKind, array_shapes, conv_options, workload_of
from systolith.plan.area import engine_parts as module
from systolith.plan.area.resources import resources_of
from tests.support.networks import convolution

BUDGET = DEVICES["ecp5-25f"].budget


def _per_neuron() -> IntegerNetwork:
    network = convolution(channels=4, filters=4, size=(5, 4))
    (layer,) = network.layers
    assert isinstance(layer, Conv2d)
    pattern = Pattern(select=PerNeuron(5))
    mask = pattern.best_mask(np.abs(layer.weight))
    layer = replace(layer, pattern=pattern, mask=mask, weight=layer.weight * mask)
    return replace(network, layers=(layer,))


NETWORKS = {
    "dense": convolution(channels=4, filters=4, size=(5, 4)),
    "half": convolution(channels=4, filters=4, size=(5, 4), kept=(2, 4)),
    "neuron": _per_neuron(),
}


def _wrong(network: IntegerNetwork, reloadable: bool) -> int:
    """Count the options whose resources differ from those of their engine."""
    (layer,) = network.layers
    assert isinstance(layer, Conv2d)
    work = workload_of(network, layer, reloadable=reloadable)
    options = conv_options(work, array_shapes(work), BUDGET, reloadable=reloadable)
    engines = [option.engine for option in options]
    kinds = {(e.multiplier_kind, e.weight_memory.kind, e.window_memory) for e in engines}  # type: ignore[union-attr]
    assert kinds == set(product(MultiplierKind, MemoryKind, MemoryKind))
    return sum(
        (option.resources, option.cycles)
        != (resources_of(engine, BUDGET.block, reloadable), engine.cycles)
        for option, engine in zip(options, engines, strict=True)
    )


@pytest.mark.parametrize("reloadable", [False, True])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_options_take_what_their_engines_take(network: IntegerNetwork, reloadable: bool) -> None:
    assert _wrong(network, reloadable) == 0


def test_parts_that_depend_on_another_choice_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    of_multipliers = module.BY_PART[module.EnginePart.MULTIPLIERS]
    monkeypatch.setitem(module.BY_PART, module.EnginePart.WINDOW, of_multipliers)  # type: ignore[arg-type]
    assert _wrong(NETWORKS["dense"], False) > 0

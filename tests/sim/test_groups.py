"""Grouped convolutions from PyTorch in RTL, under stalls, in the cycles of their own weights."""

from math import ceil, prod
from pathlib import Path

import pytest
import torch
from torch import nn

from systolith.frontend import lower
from systolith.fuzz import Case, judge_case
from systolith.network import Conv2d, IntegerNetwork
from systolith.plan import ArrayShape, plan_network
from systolith.quant import LayerBits, QuantConfig, prepare
from tests.support.random_networks import random_images

GROUPS, CHANNELS, FILTERS = 2, 4, 8
ARRAYS = {
    "layer_0": ArrayShape(rows=3, columns=2),
    "layer_2": ArrayShape(rows=3, columns=4),
    "layer_4": ArrayShape(rows=1, columns=2, multipliers=2, packed=2),
}


def _network() -> IntegerNetwork:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, CHANNELS, 3),
        nn.ReLU(),
        nn.Conv2d(CHANNELS, FILTERS, 3, padding=1, groups=GROUPS),
        nn.ReLU(),
        nn.Conv2d(FILTERS, 12, 1, groups=2),
    )
    bits = QuantConfig(act_bits=4, layers={"4": LayerBits(weight_bits=4)})
    return lower(prepare(model.eval(), torch.rand(4, 2, 6, 5), bits))


def _rows(layer: Conv2d, array: ArrayShape) -> int:
    """Cycles per pixel of a dense convolution that has the weights of one group only."""
    kept = layer.weight.shape[1] // GROUPS
    rows = ceil(prod(layer.kernel_size) / array.rows) * ceil(kept / array.multipliers)
    return rows * ceil(len(layer.weight) / (array.columns * array.packed))


def test_cycles_are_those_of_the_weights_within_groups() -> None:
    network = _network()
    plan = plan_network(network, arrays=ARRAYS)
    for engine in plan.convolutions[1:]:
        name = engine.name
        layer, (_, height, width) = network[name], network.tensors[name].shape
        assert isinstance(layer, Conv2d) and layer.groups == 1
        cycles = height * width * _rows(layer, ARRAYS[name])
        assert engine.compute_cycles == cycles


@pytest.mark.parametrize("reloadable", [False, True])
def test_rtl_equals_the_network_under_stalls(reloadable: bool, tmp_path: Path) -> None:
    network = _network()
    images = random_images(network, 2, 0)
    case = Case(network=network, images=images, arrays=ARRAYS, reloadable=reloadable)
    assert judge_case(case, tmp_path).findings == ()

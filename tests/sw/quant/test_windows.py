"""Windows of all kinds from PyTorch to integers: the model's values, and integer mode's."""

import numpy as np
import pytest
import torch
from torch import nn

from systolith.frontend import IntegerModel, lower
from systolith.network import Conv2d, IntegerNetwork, Layer, trace
from systolith.quant import prepare
from tests.support.written_models import IMAGES, assert_computes_the_same


def lower_and_compare(model: nn.Module, images: torch.Tensor = IMAGES) -> IntegerNetwork:
    """See that layers, quantized model and both kinds of integers agree; give the network."""
    assert_computes_the_same(model, images)
    quantized = prepare(model, images)
    network, integer = lower(quantized), IntegerModel(quantized)
    given = integer.quantize_input(images)
    expected, got = integer.trace(given), trace(network, given)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
    return network


def _window(layer: Layer) -> tuple[object, ...]:
    assert isinstance(layer, Conv2d)
    return layer.weight.shape[2:], layer.dilation, layer.padding


@pytest.mark.parametrize(
    ("conv", "window"),
    [
        (nn.Conv2d(3, 4, 3, dilation=2, padding=2), ((3, 3), (2, 2), (2, 2, 2, 2))),
        (nn.Conv2d(3, 4, 3, dilation=(1, 3), padding=(1, 5)), ((3, 3), (1, 3), (1, 1, 5, 5))),
        (nn.Conv2d(3, 4, (2, 3), dilation=3, padding="same"), ((2, 3), (3, 3), (1, 2, 3, 3))),
        (nn.Conv2d(3, 6, 3, dilation=2, stride=2, groups=3), ((3, 3), (2, 2), (0, 0, 0, 0))),
        (nn.Conv2d(3, 3, 2, dilation=4, bias=False), ((2, 2), (4, 4), (0, 0, 0, 0))),
    ],
)
def test_dilated_convolutions_keep_their_taps(conv: nn.Conv2d, window: object) -> None:
    torch.manual_seed(0)
    network = lower_and_compare(nn.Sequential(conv, nn.ReLU()))
    assert _window(network.layers[0]) == window


def test_dilated_groups() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 3, dilation=2, padding=4, groups=4)
    )
    network = lower_and_compare(model)
    assert _window(network.layers[1]) == ((3, 3), (2, 2), (4, 4, 4, 4))


def test_a_dilated_max_pool() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2, 1, 1, dilation=2), nn.ReLU())
    network = lower_and_compare(model)
    assert network.layers[1].output_shape([(4, 6, 6)]) == (4, 6, 6)

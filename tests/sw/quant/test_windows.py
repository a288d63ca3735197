"""Windows of all kinds from PyTorch to integers: the model's values, and integer mode's."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    IntegerNetwork,
    Layer,
    MaxPool2d,
    Pad2d,
    Upsample,
    trace,
)
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


@pytest.mark.parametrize(
    ("pool", "counted"),
    [
        (nn.AvgPool2d(3, 1, 1, count_include_pad=False), (0, 0, 0, 0)),
        (nn.AvgPool2d(3, 2, 1, ceil_mode=True), (1, 1, 1, 1)),
        (nn.AvgPool2d((2, 3), (3, 2), (1, 0), True, False), (0, 0, 0, 0)),
        (nn.AvgPool2d(2, 3, 0, ceil_mode=True), (0, 0, 0, 0)),
        (nn.AvgPool2d(3, 2, 1, divisor_override=7), None),
        (nn.AvgPool2d(4, 3, 1, ceil_mode=True, divisor_override=4), None),
        (nn.AvgPool2d(2, 2, count_include_pad=False), None),
    ],
)
@pytest.mark.parametrize("size", [7, 8])
def test_averages_of_windows_of_any_area(pool: nn.Module, counted: object, size: int) -> None:
    torch.manual_seed(0)
    images = torch.rand(6, 3, size, size)
    network = lower_and_compare(nn.Sequential(nn.Conv2d(3, 4, 1), pool), images)
    layer = network.layers[1]
    assert isinstance(layer, AvgPool2d)
    # Where no window reaches beyond the image, all areas are that of the kernel.
    assert layer.counted in (counted, None)


@pytest.mark.parametrize("kernel", [2, 3])
def test_a_max_pool_with_ceil_mode_has_a_window_more(kernel: int) -> None:
    torch.manual_seed(0)
    pool = nn.MaxPool2d(kernel, 2, kernel // 2, ceil_mode=True)
    images = torch.rand(4, 3, 8, 7)
    network = lower_and_compare(nn.Sequential(nn.Conv2d(3, 4, 1), pool), images)
    assert network.layers[1].output_shape([(4, 8, 7)])[1:] == tuple(pool(images).shape[2:])


def test_zeros_of_a_pad_are_pixels_that_are_averaged() -> None:
    torch.manual_seed(0)
    pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ZeroPad2d((1, 0, 0, 1)), pool)
    layer = lower_and_compare(model).layers[1]
    assert isinstance(layer, AvgPool2d)
    assert (layer.padding, layer.counted) == ((1, 2, 2, 1), (0, 1, 1, 0))


def test_averages_that_are_ties_are_rounded_as_in_floats() -> None:
    """Areas of 4, 6 and 9: with a step as large as that of the input, many averages are ties."""
    quantized = prepare(
        nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False)), torch.rand(4, 1, 6, 6)
    )
    with torch.no_grad():
        for quantizer in (quantized.input_quantizer, quantized.quantizer("layer_0")):
            quantizer.log2_step.fill_(-2.0)
    images = torch.randint(0, 256, (32, 1, 6, 6)) * 0.25
    quantized.eval()
    expected = torch.nn.functional.avg_pool2d(images.double(), 3, 1, 1, count_include_pad=False)
    rounded = torch.floor(expected / 0.25 + 0.5) * 0.25
    assert torch.equal(quantized(images).double(), rounded)


class Moving(nn.Module):
    """A convolution, something that moves pixels, and a convolution."""

    def __init__(self, move: Callable[[Tensor], Tensor], last: nn.Module | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 4, 3), last or nn.Conv2d(4, 2, 1)
        self.move = move

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(self.move(self.first(x)))
        return y


@pytest.mark.parametrize(
    ("move", "kinds"),
    [
        (lambda x: F.pad(x, (1, 2, 0, 3)), [Pad2d]),
        (lambda x: F.pad(F.pad(x, (0, 1, 2, 0)), (3, 0)), [Pad2d]),
        (lambda x: F.pad(x, (-1, 2, 0, -3)), [Pad2d]),
        (lambda x: F.pad(F.pad(x, (2, 0, 0, 2)), (-1, 0, 0, -1)), [Pad2d, Pad2d]),
        (lambda x: x[:, :, 1:-1, 2:], [Pad2d]),
        (lambda x: x[..., 1:], [Pad2d]),
        (lambda x: x[:, :, ::2, ::3], [MaxPool2d]),
        (lambda x: F.interpolate(x, scale_factor=2), [Upsample]),
        (lambda x: F.interpolate(x, (12, 18), mode="nearest-exact"), [Upsample]),
        (nn.Upsample(scale_factor=(1, 3)), [Upsample]),
        (nn.UpsamplingNearest2d(scale_factor=2), [Upsample]),
        (lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 2), [Pad2d, MaxPool2d]),
        (lambda x: F.relu(F.interpolate(x, scale_factor=2)), [Upsample]),
        (lambda x: F.relu(F.pad(x, (1, 1, 1, 1))), [Pad2d]),
        (nn.ReplicationPad2d((0, 1, 2, 1)), [Pad2d]),
        (lambda x: F.relu(F.pad(x, (2, -1, 0, 3), mode="replicate")), [Pad2d]),
        (nn.Upsample(scale_factor=2, mode="bilinear"), [Upsample, Pad2d, AvgPool2d]),
        (
            lambda x: F.interpolate(x, scale_factor=(3, 1), mode="bilinear"),
            [Upsample, Pad2d, AvgPool2d],
        ),
        (lambda x: F.pad(x, (1, 0, 1, 0)) + F.pad(x, (0, 1, 0, 1)), [Pad2d, Pad2d, Add]),
    ],
)
def test_pixels_are_moved(move: Callable[[Tensor], Tensor], kinds: list[type]) -> None:
    network = lower_and_compare(Moving(move).eval())
    assert [type(layer) for layer in network.layers] == [Conv2d, *kinds, Conv2d]


def test_padding_goes_into_the_layer_that_can_take_it() -> None:
    """Others read it as a layer."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.small, self.large = (
                nn.Conv2d(3, 4, 3),
                nn.Conv2d(4, 2, 3, padding=1),
                nn.Conv2d(4, 2, 5, padding=2),
            )

        def forward(self, x: Tensor) -> Tensor:
            padded = F.pad(F.relu(self.first(x)), (2, 2, 2, 2))
            y: Tensor = self.small(padded) + self.large(padded)
            return y

    network = lower_and_compare(Both())
    large = network["large"]
    assert isinstance(large, Conv2d) and large.padding == (4, 4, 4, 4) or large.inputs == ("pad",)
    assert sum(isinstance(layer, Pad2d) for layer in network.layers) == 1


def test_what_is_padded_last_is_padded_on_the_chip() -> None:
    model = Moving(lambda x: x, nn.Sequential(nn.Conv2d(4, 2, 1), nn.ZeroPad2d((1, 0, 2, -1))))
    assert isinstance(lower_and_compare(model).layers[-1], Pad2d)
    model = Moving(lambda x: x, nn.Sequential(nn.Conv2d(4, 2, 1), nn.ZeroPad2d(1), nn.Flatten()))
    kinds = [type(layer) for layer in lower_and_compare(model).layers]
    assert kinds == [Conv2d, Conv2d, Pad2d, Flatten]

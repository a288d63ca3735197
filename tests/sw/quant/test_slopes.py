"""LeakyReLU and PReLU: fused, trained, and lowered as multipliers of negative accumulators."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.network import Conv2d, IntegerNetwork, Requantized, trace
from systolith.quant import QuantizedModel, UnsupportedModelError, prepare

IMAGES = torch.rand(8, 2, 8, 8, generator=torch.Generator().manual_seed(0))


class Sloped(nn.Module):
    """Slopes behind every kind of layer that takes one."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm, self.slopes = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4)
        self.beside, self.leaky = nn.Conv2d(4, 4, 1), nn.LeakyReLU(0.1)
        self.linear, self.last = nn.Linear(36, 5), nn.PReLU(5)
        with torch.no_grad():
            self.slopes.weight.copy_(torch.tensor([0.25, 0.0, -0.5, 1.5]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.slopes(self.norm(self.conv(x)))
        x = self.leaky(self.beside(x) + x)
        x = F.leaky_relu(F.avg_pool2d(x, 2))
        return self.last(self.linear(x.flatten(1)))  # type: ignore[no-any-return]


def _compare(quantized: QuantizedModel) -> IntegerNetwork:
    network, integer = lower(quantized.eval()), IntegerModel(quantized)
    images = integer.quantize_input(IMAGES)
    golden, mirrored = trace(network, images), integer.trace(images)
    with torch.no_grad():
        fake = quantized.trace(IMAGES)
    for layer, values in golden.items():
        assert np.array_equal(values, mirrored[layer])
        step = quantized.quantizer(layer).step.item()
        assert np.array_equal(values, np.rint(fake[layer].numpy() / step))
    return network


def test_slopes_are_part_of_the_layer_before_and_trained() -> None:
    model = Sloped().eval()
    quantized = prepare(model, IMAGES)
    with torch.no_grad():
        error = (quantized.eval()(IMAGES) - model(IMAGES)).abs().max() / model(IMAGES).abs().max()
    assert error < 0.03
    optimizer = torch.optim.SGD(quantized.train().parameters(), 0.05)
    before = [p.clone() for name, p in quantized.named_parameters() if name.endswith(".slope")]
    assert [len(slope) for slope in before] == [4, 5]
    for _ in range(2):
        optimizer.zero_grad()
        quantized(IMAGES).square().mean().backward()
        optimizer.step()
    after = [p for name, p in quantized.named_parameters() if name.endswith(".slope")]
    assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))
    network = _compare(quantized)
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == ["Conv2d", "Conv2d", "Add", "AvgPool2d", "Flatten", "Linear"]
    sloped = [
        layer.name
        for layer in network.layers
        if isinstance(layer, Requantized) and layer.requantize.negative is not None
    ]
    assert sloped == ["conv", "add", "avg_pool2d", "linear"]


def test_one_slope_is_exact_from_the_accumulator() -> None:
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(conv.weight, 1.0)
    images = torch.linspace(0, 1, 64).reshape(1, 1, 8, 8)
    network = lower(prepare(nn.Sequential(conv, nn.LeakyReLU(0.25)), images))
    (layer,) = network.layers
    assert isinstance(layer, Conv2d) and layer.requantize.negative is not None
    assert abs(layer.requantize.multiplier - 4 * layer.requantize.negative) <= 2


class _Read(nn.Module):
    def __init__(self, forward: Callable[["_Read", Tensor], Tensor]) -> None:
        super().__init__()
        self._forward = forward
        torch.manual_seed(0)
        self.conv, self.slopes = nn.Conv2d(2, 4, 1), nn.PReLU(4)
        with torch.no_grad():
            self.slopes.weight.copy_(torch.tensor([0.25, 0.0, -0.5, 1.5]))

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


@pytest.mark.parametrize(
    ("forward", "kinds"),
    [
        (lambda m, x: _both(m.conv(x), m.slopes), ["Conv2d", "Conv2d", "Add"]),
        (lambda m, x: _both(m.conv(x), nn.LeakyReLU(0.1)), ["Conv2d", "Table"]),
        (lambda m, x: m.slopes(F.relu(m.conv(x))), ["Conv2d", "Conv2d"]),
        (lambda m, x: F.relu(m.slopes(m.conv(x))), ["Conv2d", "Table"]),
        (lambda m, x: F.leaky_relu(F.max_pool2d(m.conv(x), 2)), ["Conv2d", "MaxPool2d", "Table"]),
        (lambda m, x: F.max_pool2d(F.leaky_relu(m.conv(x)), 2), ["Conv2d", "MaxPool2d"]),
    ],
)
def test_slopes_that_no_layer_takes(
    forward: Callable[[_Read, Tensor], Tensor], kinds: list[str]
) -> None:
    network = _compare(prepare(_Read(forward).eval(), IMAGES))
    assert [type(layer).__name__ for layer in network.layers] == kinds


def _both(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    return x + function(x)


def test_slopes_that_are_computed_are_refused() -> None:
    model = _Read(lambda m, x: F.prelu(m.conv(x), x.mean((0, 2, 3))[:1]))
    with pytest.raises(UnsupportedModelError, match="needs weight to be a constant"):
        prepare(model, IMAGES)

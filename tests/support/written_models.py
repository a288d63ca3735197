"""Models written as people write them: a few layers, and a forward() of one's own."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from systolith.quant import QuantizedModel, UnsupportedModelError, prepare
from systolith.quant.recognition import FloatLayer, read_network
from systolith.quant.recognition.comparison import evaluate_layers

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Written(nn.Module):
    """Some layers by name, and a forward() that uses them."""

    def __init__(self, forward: Callable[..., object], seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.written = forward
        self.a, self.d, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)
        self.c = nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(144, 5)
        self.relu, self.same = nn.ReLU(inplace=True), nn.Identity()
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("mean", torch.rand(3, 1, 1))
        with torch.no_grad():
            for statistics in (self.norm.running_mean, self.norm.weight, self.norm.bias):
                statistics.uniform_(0.5, 1.5)

    def forward(self, x: Tensor) -> object:
        return self.written(self, x)


def assert_computes_the_same(model: nn.Module, images: Tensor = IMAGES) -> list[FloatLayer]:
    """Assert that the layers found compute what the model does, and that 8 bits come close."""
    model.eval()
    layers = read_network(model, images).layers
    with torch.no_grad():
        expected = model(images.clone())
        quantized: QuantizedModel = prepare(model, images)
        close = quantized(images)
    got = evaluate_layers(layers, images.to(expected.dtype))[layers[-1].name]
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, rtol=1e-4, atol=1e-6)
    assert (close - expected).abs().max() < 0.1 * expected.abs().max()
    return layers


def problems_of(model: nn.Module, images: Tensor = IMAGES) -> list[str]:
    """Problems that a model is refused with."""
    try:
        prepare(model, images)
    except UnsupportedModelError as error:
        return list(error.problems)
    raise AssertionError("the model was not refused")

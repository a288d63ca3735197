"""Products of two activations: recognized, trained and lowered."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from systolith.frontend import IntegerModel, lower
from systolith.network import IntegerNetwork, Multiply, Table, Upsample, trace
from systolith.quant import UnsupportedModelError, prepare
from tests.support.gated_models import Gated, TwoGates

IMAGES = torch.rand(20, 2, 5, 5, generator=torch.Generator().manual_seed(0))


def _multiply_in_place(x: Tensor, s: Tensor) -> Tensor:
    x *= s
    return x


def _agreeing(model: nn.Module) -> IntegerNetwork:
    """Lower a model; golden, mirrored and fake-quantized results are equal."""
    quantized = prepare(model.eval(), IMAGES).eval()
    network, integer = lower(quantized), IntegerModel(quantized)
    images = integer.quantize_input(IMAGES)
    golden, own = trace(network, images), integer.trace(images)
    with torch.no_grad():
        fake = quantized.trace(IMAGES)
        wanted = model(IMAGES)
        assert (quantized(IMAGES) - wanted).abs().max() < 0.1 * wanted.abs().max()
    for layer, values in golden.items():
        assert np.array_equal(values, own[layer])
        step = quantized.quantizer(layer).step.item()
        assert np.array_equal(values, np.rint(fake[layer].numpy() / step))
    return network


@pytest.mark.parametrize(
    "multiply",
    [
        lambda x, s: x * s,
        lambda x, s: s * x,
        torch.mul,
        lambda x, s: x.mul(s),
        _multiply_in_place,
        lambda x, s: torch.multiply(s, x),
    ],
)
def test_every_spelling(multiply: Callable[[Tensor, Tensor], Tensor]) -> None:
    kinds = [type(layer) for layer in _agreeing(Gated(torch.sigmoid, multiply)).layers]
    assert kinds.count(Multiply) == 1 and kinds.count(Table) == 1


@pytest.mark.parametrize(
    "gate",
    [
        lambda x: functional.adaptive_avg_pool2d(x, 1),
        lambda x: x.amax((2, 3), keepdim=True).sigmoid(),
        lambda x: x[:, :1].tanh(),
        lambda x: functional.relu(x),
    ],
)
def test_one_value_for_each_channel_or_pixel(gate: Callable[[Tensor], Tensor]) -> None:
    _agreeing(Gated(gate, torch.mul))


def test_a_gate_of_a_linear_layer() -> None:
    class Squeeze(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(2, 3, 3), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = functional.relu(self.conv(x))
            gate = torch.sigmoid(self.fc(x.mean((2, 3)))).view(-1, 3, 1, 1)
            return x * gate

    kinds = [type(layer) for layer in _agreeing(Squeeze()).layers]
    assert kinds.count(Multiply) == 1 and kinds.count(Upsample) == 1


def test_squeeze_and_excitation() -> None:
    kinds = [type(layer) for layer in _agreeing(TwoGates()).layers]
    assert kinds.count(Multiply) == 2 and kinds.count(Table) == 4


def test_a_relu_behind_a_product_is_part_of_it() -> None:
    network = _agreeing(Gated(torch.tanh, lambda x, s: torch.relu(x * s)))
    (product,) = (layer for layer in network.layers if isinstance(layer, Multiply))
    assert not product.output.signed


def test_functions_of_one_tensor_are_a_table() -> None:
    class Swish(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(2, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            return x * torch.sigmoid(x) + x * x

    kinds = [type(layer) for layer in lower(prepare(Swish().eval(), IMAGES)).layers]
    assert Multiply not in kinds and Table in kinds


@pytest.mark.parametrize("combine", [torch.mul, torch.add, lambda x, s: s + x])
@pytest.mark.parametrize("size", [(3, 1), (1, 3), (1, 1)])
def test_a_row_a_column_or_a_pixel_is_repeated(
    combine: Callable[[Tensor, Tensor], Tensor], size: tuple[int, int]
) -> None:
    network = _agreeing(Gated(nn.AdaptiveAvgPool2d(size), combine))
    (repeated,) = (layer for layer in network.layers if isinstance(layer, Upsample))
    assert repeated.factors == (3 // size[0], 3 // size[1])


@pytest.mark.parametrize("combine", [torch.mul, torch.add])
def test_a_vector_along_the_rows_of_all_images_is_refused(
    combine: Callable[[Tensor, Tensor], Tensor],
) -> None:
    model = Gated(lambda x: x.mean((2, 3))[:, :2], combine).eval()
    with pytest.raises(UnsupportedModelError, match=r"is repeated to \(3, 2, 2\), so each axis"):
        prepare(model, IMAGES[:, :, :4, :4])

import pytest
import torch
from torch import Tensor, nn

from systolith.models._blocks import identity_shortcut
from systolith.quant import (
    LayerBits,
    QuantConfig,
    QuantConv2d,
    UnsupportedModelError,
    WeightQuantizer,
    binarize,
    prepare,
)
from systolith.quant.steps.binary import best_scale

IMAGES = torch.rand(8, 2, 6, 6, generator=torch.Generator().manual_seed(0))


def _weights(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def test_values_and_gradients_are_the_closed_form() -> None:
    weight, scale = _weights(3, 4, 2, 2), torch.tensor([0.3, 1.0, 2.5]).reshape(3, 1, 1, 1)
    weight[0, 0] = 0.0
    weight[1, 0, 0, 0] = -1.0  # at the bend, which passes
    weight.requires_grad_(), scale.requires_grad_()
    upstream = _weights(3, 4, 2, 2).cos()
    y = binarize(weight, scale, 0.1)
    y.backward(upstream)
    expected = torch.where(weight > 0, scale, -scale).masked_fill(weight == 0, 0.0)
    assert torch.equal(y, expected)
    assert torch.equal(weight.grad, upstream * (weight.abs() <= scale))
    to_scale = 0.1 * (upstream * weight.sign()).sum((1, 2, 3), keepdim=True)
    assert torch.allclose(scale.grad, to_scale, rtol=1e-5)


def test_best_scale_has_the_least_error() -> None:
    rows = _weights(5, 100)
    rows[1, 10:] = 0.0
    rows[2] = 0.0
    scale = best_scale(rows)

    def error(factor: float) -> Tensor:
        return ((rows - factor * scale[:, None] * rows.sign()) ** 2).sum(1)

    for factor in (0.99, 1.01):
        assert (error(1.0) <= error(factor)).all()
    assert scale[2] == 1


def test_ternary_weights_are_two_bits_of_narrow_range() -> None:
    quantizer = WeightQuantizer(4, 2, narrow_range=True)
    weight = _weights(4, 50)
    quantizer.calibrate_(weight)
    integers = quantizer.integers(weight)
    assert set(integers.unique().tolist()) == {-1, 0, 1}
    assert torch.equal(quantizer(weight, weight.numel()), integers * quantizer.step[:, None])


@pytest.mark.parametrize(
    ("bits", "narrow", "low", "high"),
    [
        (1, False, -1, 1),
        (1, True, -1, 1),
        (2, True, -1, 1),
        (2, False, -2, 1),
        (8, True, -127, 127),
    ],
)
def test_ranges(bits: int, narrow: bool, low: int, high: int) -> None:
    quantizer = WeightQuantizer(1, bits, narrow_range=narrow)
    assert (quantizer.low, quantizer.high) == (low, high)
    quantizer.calibrate_(torch.tensor([[1.0, -1.0, 0.5]]))
    extremes = quantizer.integers(torch.tensor([[-1e9, 1e9]]))
    assert extremes.tolist() == [[low, high]]


def test_binary_integers_are_signs_and_pruned_weights_zero() -> None:
    layer = nn.Conv2d(2, 4, 3)
    quantized = prepare(nn.Sequential(layer), IMAGES, QuantConfig(weight_bits=1)).layer("layer_0")
    assert isinstance(quantized, QuantConv2d)
    quantized.mask[:, 0, 0] = False
    integers = quantized.integers(torch.tensor(1.0)).weight
    assert torch.equal(integers, layer.weight.detach().sign().long() * quantized.mask)
    step = quantized.weight_quantizer.step.reshape(4, 1, 1, 1)
    assert torch.equal(quantized.quantized_weight(), integers * step)


def test_range_and_width_by_layer() -> None:
    config = QuantConfig(
        weight_bits=2,
        narrow_range=True,
        layers={"1": LayerBits(weight_bits=1), "2": LayerBits(narrow_range=False)},
    )
    convolutions = [nn.Conv2d(2, 2, 1) for _ in range(3)]
    model = prepare(nn.Sequential(*convolutions), IMAGES, config)
    ranges = []
    for _, layer in model.named_layers():
        assert isinstance(layer, QuantConv2d)
        ranges.append((layer.weight_quantizer.low, layer.weight_quantizer.high))
    assert ranges == [(-1, 1), (-1, 1), (-2, 1)]


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("narrow", [False, True])
def test_few_bits_learn(narrow: bool, power_of_two: bool) -> None:
    torch.manual_seed(0)
    target = nn.Conv2d(2, 4, 3)(IMAGES).detach()
    for bits in (1, 2):
        config = QuantConfig(weight_bits=bits, narrow_range=narrow, power_of_two=power_of_two)
        model = prepare(nn.Sequential(nn.Conv2d(2, 4, 3)), IMAGES, config).train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
        losses = []
        for _ in range(60):
            optimizer.zero_grad()
            loss = (model(IMAGES) - target).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.5 * losses[0]


def test_refuses_fixed_zeros_in_one_bit() -> None:
    model = nn.Sequential(identity_shortcut(2, 4, 1))
    message = (
        r"^1-bit weights are -1 or \+1, but 6 of the fixed weights of '0' are 0; give it 2 bits$"
    )
    with pytest.raises(UnsupportedModelError, match=message):
        prepare(model, IMAGES, QuantConfig(weight_bits=1))
    prepare(model, IMAGES, QuantConfig(weight_bits=1, layers={"0": LayerBits(weight_bits=2)}))

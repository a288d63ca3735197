"""Fake quantization in evaluation mode equals the integers, in every value of every layer."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from systolith.frontend import IntegerModel
from systolith.models import TinyResNet
from systolith.quant import QuantConfig, QuantizedModel, prepare
from tests.support.quantized_models import quantized_models

SLOW_TO_DRAW = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow]
)


def _images(model: QuantizedModel, seed: int) -> Tensor:
    """Noise over the whole range of the input and beyond it."""
    quantizer = model.input_quantizer
    low, high = quantizer.act_type.low - 2, quantizer.act_type.high + 2
    noise = torch.rand(6, *model.input_shape, generator=torch.Generator().manual_seed(seed))
    images: Tensor = (low + noise * (high - low)) * quantizer.step.detach()
    return images


def _assert_equal(model: QuantizedModel, images: Tensor) -> None:
    integer = IntegerModel(model)
    integers = integer.trace(integer.quantize_input(images))
    values = model.eval().trace(images)
    assert list(values) == list(integers)
    for name, value in values.items():
        units = value.detach().double() / model.quantizer(name).step.detach().double()
        assert np.array_equal(np.rint(units.numpy()), integers[name]), name
        assert (units - units.round()).abs().max() < 0.01, name


@SLOW_TO_DRAW
@given(quantized_models(), st.integers(0, 1000), st.booleans())
def test_random_models_agree_in_every_value(
    model: QuantizedModel, seed: int, differentiable: bool
) -> None:
    with torch.set_grad_enabled(differentiable):
        _assert_equal(model, _images(model, seed))


@pytest.mark.parametrize("power_of_two", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_residual_network_agrees_at_every_width(bits: int, power_of_two: bool) -> None:
    config = QuantConfig(weight_bits=bits, act_bits=max(bits, 2), power_of_two=power_of_two)
    model = prepare(TinyResNet(seed=bits), torch.rand(16, 1, 8, 8), config)
    _assert_equal(model, torch.rand(64, 1, 8, 8))


def test_autocast_and_other_float_types_change_no_value() -> None:
    model = prepare(TinyResNet().eval(), torch.rand(16, 1, 8, 8))
    images = torch.rand(16, 1, 8, 8).bfloat16()
    with torch.no_grad():
        expected = model(images.float())
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(model(images), expected)
    integer = IntegerModel(model)
    rounded = integer.quantize_input(images.float())
    for other in (images, images.double()):
        assert np.array_equal(integer.quantize_input(other), rounded)


def test_accumulators_beyond_float32_agree() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(3000, 8)
    nn.init.uniform_(layer.weight, 0.5, 1.0)
    model = prepare(nn.Sequential(layer).eval(), torch.rand(8, 3000))
    assert IntegerModel(model).layers[0].weight.sum(1).max() * 255 > 2**24
    _assert_equal(model, torch.rand(64, 3000))


def test_biases_beyond_exact_products_agree() -> None:
    """An accumulator of 40 bits times a multiplier of 16 bits is too large for float64."""
    model = prepare(nn.Sequential(nn.Conv2d(1, 4, 1)).eval(), torch.rand(8, 1, 4, 4))
    (layer,) = (layer for _, layer in model.named_layers())
    with torch.no_grad():
        unit = model.input_quantizer.step.double() * layer.weight_quantizer.step.double()
        layer.bias.copy_(unit * 2.0**38)
        layer.output.set_step_(layer.output.step * 2.0**20)
    _assert_equal(model, torch.rand(64, 1, 4, 4))


@SLOW_TO_DRAW
@given(quantized_models(), st.integers(0, 1000))
def test_gradients_of_evaluation_reach_what_those_of_training_reach(
    model: QuantizedModel, seed: int
) -> None:
    assume(any(parameter.requires_grad for parameter in model.parameters()))
    images = _images(model, seed)
    reached = []
    for training in (True, False):
        model.train(training).zero_grad()
        model(images).square().sum().backward()
        reached.append({n: p.grad is not None for n, p in model.named_parameters()})
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert reached[0] == reached[1]
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name for name, reaches in reached[0].items() if reaches} == trained

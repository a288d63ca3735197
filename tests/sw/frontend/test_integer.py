"""PyTorch in integer mode equals the golden arithmetic in every value of every layer."""

import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from systolith.frontend import IntegerModel, lower
from systolith.models import TinyResNet
from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    IntArray,
    IntegerNetwork,
    Linear,
    NetworkError,
    forward,
    trace,
)
from systolith.quant import (
    QuantAdd,
    QuantAvgPool2d,
    QuantConfig,
    QuantConv2d,
    QuantizedModel,
    QuantLinear,
    prepare,
)
from tests.support.quantized_models import quantized_models

SLOW_TO_DRAW = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow]
)


def _images(network: IntegerNetwork, seed: int) -> IntArray:
    """Noise, and images of the least and the greatest value."""
    low, high = network.input.type.low, network.input.type.high
    noise = np.random.default_rng(seed).integers(low, high + 1, (3, *network.input.shape))
    extremes = [np.full_like(noise[:1], value) for value in (low, high)]
    return np.concatenate([noise, *extremes])


def _assert_equal_in_every_layer(model: IntegerModel, network: IntegerNetwork, seed: int) -> None:
    images = _images(network, seed)
    found, golden = model.trace(images), trace(network, images)
    assert list(found) == list(golden)
    for name in golden:
        assert found[name].dtype == np.int64
        assert np.array_equal(found[name], golden[name]), name


@SLOW_TO_DRAW
@given(quantized_models(), st.integers(0, 1000))
def test_random_models_agree_with_the_golden_arithmetic(model: QuantizedModel, seed: int) -> None:
    _assert_equal_in_every_layer(IntegerModel(model), lower(model), seed)


@pytest.mark.parametrize("power_of_two", [True, False])
@pytest.mark.parametrize("bits", [1, 2, 5, 8])
def test_residual_network_agrees_at_every_width(bits: int, power_of_two: bool) -> None:
    config = QuantConfig(weight_bits=bits, act_bits=max(bits, 2), power_of_two=power_of_two)
    model = prepare(TinyResNet(seed=bits), torch.rand(16, 1, 8, 8), config)
    _assert_equal_in_every_layer(IntegerModel(model), lower(model), bits)


def test_other_image_sizes_rescale_the_global_pool() -> None:
    model = prepare(TinyResNet(), torch.rand(16, 1, 8, 8))
    network = lower(model, (1, 12, 16))
    assert network.input.shape == (1, 12, 16)
    _assert_equal_in_every_layer(IntegerModel(model, (1, 12, 16)), network, 0)


def test_forward_gives_the_integer_logits() -> None:
    model = prepare(TinyResNet(), torch.rand(16, 1, 8, 8))
    integer, images = IntegerModel(model), torch.rand(300, 1, 8, 8)
    integers = integer.quantize_input(images)
    golden = forward(lower(model), integers)["fc"]
    assert np.array_equal(integer(torch.from_numpy(integers)).numpy(), golden)
    assert np.array_equal(integer.logits(images).numpy(), golden)
    assert np.array_equal(integer.trace(integers)["fc"], golden)


@SLOW_TO_DRAW
@given(quantized_models(), st.integers(0, 1000))
def test_each_layer_follows_its_fake_quantized_one_within_rounding(
    model: QuantizedModel, seed: int
) -> None:
    """One layer at a time, on the same inputs, so that errors do not add up.

    Allowed are a tipped rounding, and the 2**-10 of a multiplier that shares its shift. Biases are
    rounded in both.
    """
    network = lower(model)
    integers = IntegerModel(model).trace(_images(network, seed))
    for wiring, layer in model.named_layers():
        if not isinstance(layer, QuantConv2d | QuantLinear | QuantAdd | QuantAvgPool2d):
            continue
        inputs = [
            torch.from_numpy(integers[name]) * model.quantizer(name).step for name in wiring.inputs
        ]
        steps = [model.quantizer(name).step for name in wiring.inputs]
        weighted = isinstance(layer, QuantConv2d | QuantLinear)
        acc = layer.accumulate(inputs[0], steps[0]) if weighted else layer.accumulate(*inputs)
        expected = layer.output.integers(layer.activation(acc))
        lowered = network[wiring.name]
        assert isinstance(lowered, Conv2d | Linear | Add | AvgPool2d)
        scale = lowered.requantize.multiplier.max() / 2.0 ** lowered.requantize.shift.min()
        if isinstance(lowered, Add):
            scale *= max(lowered.multipliers)
        if scale == 65535:
            continue  # nothing was seen in calibration, and all but 0 saturates
        allowed = 1 + expected.abs().double().numpy() * 2.0**-10
        difference = np.abs(integers[wiring.name] - expected.numpy())
        assert (difference <= allowed).all(), wiring.name


def test_integers_follow_the_fake_quantized_model_within_rounding() -> None:
    """Accumulators in float32 and multipliers of 16 bits may tip a rounding, never more."""
    torch.manual_seed(0)
    model = prepare(TinyResNet(), torch.rand(64, 1, 8, 8))
    images = torch.rand(32, 1, 8, 8)
    integer = IntegerModel(model)
    integers = integer.trace(integer.quantize_input(images))
    for name, values in model.trace(images).items():
        expected = np.rint((values / model.quantizer(name).step).detach().double().numpy())
        # The logits' unit is so fine that a tipped rounding before them is many units.
        allowed = 200 if name == "fc" else 1
        assert np.abs(integers[name] - expected).max() <= allowed, name
        if name != "fc":
            assert (integers[name] != expected).mean() < 0.05, name


def test_quantizes_the_input_to_its_type() -> None:
    model = prepare(TinyResNet(), torch.rand(16, 1, 8, 8) * 0.5 + 0.5)
    integer = IntegerModel(model)
    images = np.linspace(-1, 3, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    integers = integer.quantize_input(images)
    assert integers.dtype == np.int64
    assert (integers.min(), integers.max()) == (0, 255)


def test_later_training_does_not_change_it() -> None:
    model = prepare(TinyResNet(), torch.rand(16, 1, 8, 8))
    integer, images = IntegerModel(model), torch.rand(4, 1, 8, 8)
    before = integer.logits(images)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert torch.equal(integer.logits(images), before)
    assert not any(parameter.requires_grad for parameter in integer.parameters())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((1, 1, 4, 4), dtype=np.int64),
            "images must have shape (N, 1, 8, 8), got (1, 1, 4, 4)",
        ),
        (np.zeros((1, 1, 8, 8)), "images must be integers, got float64"),
        (np.full((1, 1, 8, 8), 256), "images must lie in 0..255, got 256..256"),
        (np.full((1, 1, 8, 8), -1), "images must lie in 0..255, got -1..-1"),
    ],
)
def test_refuses_images(images: IntArray, message: str) -> None:
    integer = IntegerModel(prepare(nn.Sequential(nn.Conv2d(1, 1, 1)), torch.rand(4, 1, 8, 8)))
    with pytest.raises(NetworkError, match=f"^{re.escape(message)}$"):
        integer.trace(images)

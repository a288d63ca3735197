"""Averages just between two integers: fake quantization, integer mode and golden arithmetic."""

import numpy as np
import pytest
import torch
from torch import nn

from systolith.frontend import IntegerModel, lower
from systolith.network import trace
from systolith.quant import QuantConfig, prepare

WINDOWS = [(2, 3), (2, 7), (3, 6), (6, 7), (3, 3)]


@pytest.mark.parametrize("octaves", [-1, 0, 1])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("window", WINDOWS)
def test_ties_are_rounded_upwards_everywhere(
    window: tuple[int, int], signed: bool, octaves: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    levels = 128 if signed else 256
    shape = (200, 1, *window)
    images = torch.randint(-128 if signed else 0, levels, shape, generator=generator) / levels
    images[0] = 1 - 1 / levels  # so that one level is one unit
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(conv.weight, 1.0)
    model = nn.Sequential(conv, nn.AvgPool2d(window))
    if not signed:
        model.insert(1, nn.ReLU())
    config = QuantConfig(power_of_two=True, input_signed=signed, output_bits=8)
    quantized = prepare(model.eval(), images, config).eval()
    before, last = quantized.quantizer("layer_0"), quantized.wirings[-1].name
    quantized.quantizer(last).set_step_(before.step * 2.0**octaves)

    integer = IntegerModel(quantized)
    integers = integer.quantize_input(images)
    values = integer.trace(integers)
    golden = trace(lower(quantized), integers)
    assert all(np.array_equal(golden[name], values[name]) for name in golden)
    with torch.no_grad():
        fake = quantized(images) / quantized.quantizer(last).step
    assert np.array_equal(fake.numpy(), values[last])
    sums = values["layer_0"].sum((2, 3)).astype(np.float64)
    averages = sums / (window[0] * window[1] * 2.0**octaves)
    if octaves == 0 and window != (3, 3):
        assert (averages % 1 == 0.5).any()


def test_windows_too_large_for_exact_ties_are_within_half_a_unit() -> None:
    images = torch.randint(0, 128, (200, 1, 12, 14), generator=torch.Generator().manual_seed(0))
    conv = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(conv.weight, 1.0)
    model = nn.Sequential(conv, nn.ReLU(), nn.AvgPool2d((12, 14)))
    config = QuantConfig(power_of_two=True, output_bits=8)
    quantized = prepare(model.eval(), images / 128, config).eval()
    integer = IntegerModel(quantized)
    values = integer.trace(integer.quantize_input(images / 128))
    averages = values["layer_0"].sum((2, 3)) / (12 * 14)
    ratio = float(quantized.quantizer("layer_0").step / quantized.quantizer("layer_2").step)
    assert np.abs(values["layer_2"][:, :, 0, 0] - averages * ratio).max() <= 0.5

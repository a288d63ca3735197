from copy import deepcopy

import pytest
import torch
from torch import nn

from systolith.network import ActType
from systolith.quant import (
    Activation,
    ActQuantizer,
    QuantAdd,
    QuantAvgPool2d,
    QuantConfig,
    QuantLinear,
    prepare,
)


def _output(step: float) -> ActQuantizer:
    quantizer = ActQuantizer(ActType(bits=8, signed=True))
    quantizer.set_step_(torch.tensor(step))
    return quantizer


@pytest.mark.parametrize("coarse", [1.0, 0.7])
@pytest.mark.parametrize("ratio", [2.0**-8, 2.0**-14, 2.0**-16, 2.0**-20, 1e-9])
def test_addition_keeps_inputs_apart_whose_steps_are_far_apart(coarse: float, ratio: float) -> None:
    layer = QuantAdd(Activation.NONE, _output(0.25))
    steps = [torch.tensor(coarse), torch.tensor(coarse * ratio)]
    (first, second), scaling = layer.integers(steps)
    unit = 2.0**-scaling.fixed_point.shift
    assert first * unit == pytest.approx(coarse / 0.25, rel=2.0**-16)
    # 255 of the finer unit are at most a hundredth of the coarser one.
    assert abs(second / first - ratio) * 255 <= 0.01
    assert second >= 1
    (swapped_first, swapped_second), _ = layer.integers(steps[::-1])
    assert (swapped_first, swapped_second) == (second, first)


def test_addition_of_equal_steps_is_a_shift() -> None:
    layer = QuantAdd(Activation.NONE, _output(1.0))
    multipliers, scaling = layer.integers([torch.tensor(0.5), torch.tensor(0.5)])
    assert multipliers == (1, 1)
    assert (scaling.fixed_point.multiplier.tolist(), scaling.fixed_point.shift) == ([1], 1)


@pytest.mark.parametrize(("kernel", "area"), [((2, 4), 8), (None, 32)])
def test_average_divides_by_the_area_of_its_window(
    kernel: tuple[int, int] | None, area: int
) -> None:
    layer = QuantAvgPool2d(
        kernel_size=kernel,
        stride=(1, 1),
        padding=(0, 0, 0, 0),
        activation=Activation.NONE,
        output=_output(1.0),
    )
    scaling = layer.integers(torch.tensor(1.0), (3, 2, 16), ActType(bits=8, signed=False))
    assert 2**scaling.fixed_point.shift == area
    assert scaling.fixed_point.multiplier.tolist() == [1]


def test_a_relu_passes_no_gradient_at_zero_as_in_the_float_model() -> None:
    output = ActQuantizer(ActType(bits=8, signed=False))
    acc = torch.tensor([[-1.0, 0.0, 1.0]], requires_grad=True)
    QuantAdd(Activation.RELU, output).finish(acc).sum().backward()
    assert acc.grad is not None and acc.grad.tolist() == [[0.0, 0.0, 1.0]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_training_rounds_biases_to_accumulator_units(bits: int) -> None:
    torch.manual_seed(0)
    model = prepare(
        nn.Sequential(nn.Linear(3, 4)), torch.rand(16, 3), QuantConfig(weight_bits=bits)
    )
    layer = model.layer("layer_0")
    assert isinstance(layer, QuantLinear)
    input_step = model.input_quantizer.step
    units = layer.quantized_bias(input_step).double() / (
        input_step.double() * layer.weight_quantizer.step.double()
    )
    assert torch.equal(units.round().long(), layer.integers(input_step).bias)
    assert (units - units.round()).abs().max() < 1e-3
    assert model.training
    assert not torch.equal(layer.quantized_bias(input_step), layer.bias)
    acc = layer.accumulate(torch.zeros(1, 3), input_step)
    assert torch.equal(acc[0], layer.quantized_bias(input_step))
    acc.sum().backward()
    assert layer.bias.grad is not None and layer.bias.grad.tolist() == [1.0] * 4


def test_kept_weights_are_counted_again_when_the_mask_changes() -> None:
    model = prepare(nn.Sequential(nn.Linear(3, 4)), torch.rand(16, 3))
    layer = model.layer("layer_0")
    assert isinstance(layer, QuantLinear)
    assert layer.kept == 12
    layer.mask[0] = False
    assert layer.kept == 9
    assert not layer.masked_weight()[0].any()
    assert deepcopy(layer).kept == 9

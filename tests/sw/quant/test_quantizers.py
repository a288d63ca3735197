import pytest
import torch

from systolith.network import ActType
from systolith.quant import ActQuantizer, WeightQuantizer, fake_quantize


def _error(quantized: torch.Tensor, x: torch.Tensor) -> float:
    return float(((quantized.detach() - x) ** 2).sum())


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("signed", [True, False])
def test_calibrated_step_is_better_than_the_neighbouring_ones(bits: int, signed: bool) -> None:
    x = torch.randn(1000, generator=torch.Generator().manual_seed(bits))
    x = x if signed else x.relu()
    quantizer = ActQuantizer(ActType(bits=bits, signed=signed))
    quantizer.calibrate_(x)
    step, act_type = quantizer.step.detach(), quantizer.act_type
    best = _error(quantizer(x), x)
    for factor in (0.8, 1.25):
        other = fake_quantize(x, step * factor, act_type.low, act_type.high, 1.0)
        assert best <= _error(other, x)


def test_wide_outputs_keep_two_bits_of_headroom() -> None:
    quantizer = ActQuantizer(ActType(bits=16, signed=True))
    quantizer.calibrate_(torch.tensor([-3.0, 5.0]))
    assert quantizer.integers(torch.tensor([5.0])).item() in (8191, 8192)


def test_zeros_calibrate_to_a_step() -> None:
    for bits in (8, 16):
        quantizer = ActQuantizer(ActType(bits=bits, signed=True))
        quantizer.calibrate_(torch.zeros(4))
        assert 0 < quantizer.step < torch.inf
    weights = WeightQuantizer(2, 4)
    weights.calibrate_(torch.zeros(2, 3))
    assert (weights.step > 0).all()


def test_integers_are_what_fake_quantization_stands_for() -> None:
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    acts = ActQuantizer(ActType(bits=4, signed=True))
    acts.calibrate_(x)
    assert torch.equal(acts.integers(x) * acts.step, acts(x))
    weights = WeightQuantizer(3, 3)
    weights.calibrate_(x)
    integers = weights.integers(x)
    assert torch.allclose(integers * weights.step[:, None, None], weights(x, x.numel()))
    assert integers.min() >= -4 and integers.max() <= 3


def test_step_gradient_is_scaled_by_lsqs_factor() -> None:
    quantizer = ActQuantizer(ActType(bits=2, signed=False))
    # All far above the range: d(output)/d(step) is 3 each, 10 values in 2 images of 5 features.
    quantizer(torch.full((2, 5), 100.0)).sum().backward()
    to_log2 = 3 * 10 * (5 * 3) ** -0.5 * torch.tensor(2.0).log()
    assert torch.allclose(quantizer.log2_step.grad, to_log2)
    weights = WeightQuantizer(2, 2)
    weights(torch.full((2, 6), 100.0), kept=8).sum().backward()
    # High is 1, 6 values each, N counts 4 kept weights per channel.
    assert torch.allclose(weights.log2_step.grad, 6 * 4**-0.5 * torch.tensor([2.0, 2.0]).log())


def test_power_of_two_steps_are_exact_and_learn() -> None:
    quantizer = ActQuantizer(ActType(bits=8, signed=False), power_of_two=True)
    for exponent in range(-40, 20):
        quantizer.set_step_(torch.tensor(2.0**exponent * 1.2))
        assert quantizer.step == 2.0**exponent
    quantizer(torch.full((1, 1), 1e30)).sum().backward()
    assert quantizer.log2_step.grad > 0


def test_no_weight_step_is_smaller_than_a_64th_of_the_greatest() -> None:
    quantizer = WeightQuantizer(3, 8)
    quantizer.calibrate_(torch.tensor([[127.0], [0.0127], [1e-9]]))
    step = quantizer.step.detach()
    assert torch.allclose(step[1:] / step[0], torch.tensor(1 / 64))

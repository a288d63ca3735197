import pytest
import torch
from torch import Tensor

from systolith.quant import LearnedWidth


def _width(bits: float, *, signed: bool = True, peak: float = 2.0) -> LearnedWidth:
    quantizer = LearnedWidth(peak, signed=signed)
    with torch.no_grad():
        quantizer.free_bits.fill_(bits)
    return quantizer


def _values() -> Tensor:
    return torch.randn(4, 100, generator=torch.Generator().manual_seed(0)) * 2


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("bits", [2.0, 3.4, 3.6, 8.0])
def test_values_are_a_grid_of_the_rounded_width(bits: float, signed: bool) -> None:
    quantizer = _width(bits, signed=signed)
    assert quantizer.width == round(bits)
    high = 2 ** (round(bits) - signed) - 1
    step = 2.0 / high
    x = _values()
    expected = torch.floor(x.clamp(-2.0 if signed else 0.0, 2.0) / step + 0.5)
    levels = quantizer(x) / step
    assert torch.allclose(levels, expected, atol=1e-4)
    assert levels.round().unique().numel() <= 2 ** round(bits) - signed
    assert levels.abs().max().round() == high


@pytest.mark.parametrize("bits", [2.0, 3.0, 5.0])
def test_gradients_are_the_closed_form(bits: float) -> None:
    quantizer = _width(bits)
    x = _values().requires_grad_()
    upstream = torch.cos(torch.arange(400.0)).reshape(4, 100)
    quantizer(x).backward(upstream)
    high = 2 ** (bits - 1) - 1
    step = 2.0 / high
    inside = x.abs() <= 2.0
    assert torch.equal(x.grad, upstream * inside)
    v = x.detach().clamp(-2.0, 2.0) / step
    error = torch.floor(v + 0.5) - v
    error[~inside] = 0.0
    slope = -2.0 * 2 ** (bits - 1) * torch.tensor(2.0).log() / high**2
    assert torch.allclose(quantizer.free_bits.grad, (upstream * error).sum() * slope, rtol=1e-3)
    to_range = (upstream * x.sign())[~inside].sum() + (upstream * error).sum() / high
    to_log2 = to_range * 2.0 * torch.tensor(2.0).log()
    assert torch.allclose(quantizer.log2_range.grad, to_log2, rtol=1e-3)


@pytest.mark.parametrize(
    ("bits", "width"), [(2.0, 2), (2.7, 2), (2.9, 4), (5.5, 4), (5.8, 8), (8, 8)]
)
def test_powers_of_two_are_the_nearest_in_ratio(bits: float, width: int) -> None:
    quantizer = LearnedWidth(1.0, signed=True, power_of_two=True)
    with torch.no_grad():
        quantizer.free_bits.fill_(bits)
    assert quantizer.width == width


def test_bounds_hold_bits_where_gradients_reach_them() -> None:
    for given, expected in ((-3.0, 2), (11.0, 8)):
        quantizer = _width(given)
        assert quantizer.width == expected
        quantizer.clamp_()
        quantizer.bits.backward()
        assert quantizer.free_bits.grad == 1.0


def test_half_precision_stays_so() -> None:
    x = _values().bfloat16()
    assert _width(4.0)(x).dtype == torch.bfloat16


def test_an_ulp_beyond_the_range_is_not_lost() -> None:
    for peak in torch.linspace(0.1, 3, 50).tolist():
        quantizer = _width(8.0, peak=peak)
        x = torch.tensor([[2 * peak, -2 * peak]])
        y = quantizer(x)
        assert torch.allclose(y, torch.tensor([[peak, -peak]]), rtol=1e-5)
        y.backward(x.sign())
        assert quantizer.log2_range.grad > 0

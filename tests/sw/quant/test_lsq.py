from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from systolith.quant import fake_quantize, quantize, round_half_up
from systolith.quant.steps import lsq


def _composed(x: Tensor, step: Tensor, low: int, high: int, gradient_scale: float) -> Tensor:
    """The same out of PyTorch's own differentiable functions."""
    scaled = step * gradient_scale
    step = step.detach() + (scaled - scaled.detach())
    clamped = (x / step).clamp(low, high)
    return (clamped + (torch.floor(clamped + 0.5) - clamped).detach()) * step


def _values(*shape: int, seed: int = 0) -> Tensor:
    """Inside and on both sides of what 4 bits reach with steps around 1, ties included."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 8
    return torch.where(x.abs() < 3, (x * 4).round() / 4, x)


def _gradients(
    function: Callable[..., Tensor], x: Tensor, step: Tensor, *arguments: float
) -> tuple[Tensor, Tensor, Tensor]:
    x, step = x.detach().requires_grad_(), step.detach().requires_grad_()
    y = function(x, step, *arguments)
    y.backward(torch.sin(torch.arange(y.numel())).reshape(y.shape).to(y.dtype))
    return y.detach(), x.grad, step.grad


def _assert_equal(gradients: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    """Equal values; gradients up to the order of sums, and to the step that comes and goes."""
    assert torch.equal(gradients[0], expected[0])
    assert torch.equal(gradients[1] == 0, expected[1] == 0)
    assert torch.allclose(gradients[1], expected[1], rtol=1e-6, atol=0)
    assert torch.allclose(gradients[2], expected[2], rtol=1e-5, atol=1e-6)


def test_ties_round_towards_plus_infinity() -> None:
    x = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    assert round_half_up(x).tolist() == [-2, -1, 0, 1, 2, 3]


def test_quantize_saturates_even_what_no_integer_holds() -> None:
    x = torch.tensor([-torch.inf, -1e30, -3.0, 0.24, 0.25, 1e30, torch.inf])
    assert quantize(x, torch.tensor(0.5), -4, 3).tolist() == [-4, -4, -4, 0, 1, 3, 3]


@settings(deadline=None)
@given(
    bits=st.integers(2, 8),
    signed=st.booleans(),
    step=st.floats(0.01, 10),
    gradient_scale=st.floats(0.001, 1),
    seed=st.integers(0, 1000),
)
def test_value_and_gradients_are_the_papers_closed_form(
    bits: int, signed: bool, step: float, gradient_scale: float, seed: int
) -> None:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    generator = torch.Generator().manual_seed(seed)
    ratio = (torch.rand(64, generator=generator, dtype=torch.float64) * 3 - 1.5) * (high + 1)
    x = (ratio * step).requires_grad_()
    s = torch.tensor(step, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(64, generator=generator, dtype=torch.float64)

    y = fake_quantize(x, s, low, high, gradient_scale)
    y.backward(upstream)

    v = x.detach() / step
    inside = (v > low) & (v < high)
    rounded = torch.floor(v + 0.5)
    expected = torch.where(inside, rounded, v.clamp(low, high)) * step
    # Equations 1 to 3 of the paper, for v = x / step.
    to_step = torch.where(v <= low, low, torch.where(v >= high, high, rounded - v))
    assert torch.allclose(y, expected, rtol=1e-12, atol=1e-12)
    assert torch.allclose(x.grad, upstream * inside, rtol=1e-12, atol=0)
    assert torch.allclose(s.grad, gradient_scale * (upstream * to_step).sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("chunk", [1, 100, 1 << 18])
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("low", "high"), [(-8, 7), (0, 15), (-1, 1)])
def test_equals_its_composition_in_every_layout(
    monkeypatch: pytest.MonkeyPatch,
    memory_format: torch.memory_format,
    chunk: int,
    per_channel: bool,
    low: int,
    high: int,
) -> None:
    monkeypatch.setattr(lsq, "CHUNK", chunk)
    x = _values(5, 6, 7, 3).contiguous(memory_format=memory_format)
    step = torch.rand(5, 1, 1, 1) + 0.5 if per_channel else torch.tensor(0.5)
    gradients = _gradients(fake_quantize, x, step, low, high, 0.1)
    expected = _gradients(_composed, x, step, low, high, 0.1)
    _assert_equal(gradients, expected)
    assert gradients[2].shape == step.shape
    assert gradients[0].is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize("step", [0.75, 0.3])
def test_rectifying_is_a_relu_before_it(step: float) -> None:
    x = _values(4, 50)
    x[0, :3] = torch.tensor([0.0, -0.0, 1e-40])

    def rectified(x: Tensor, *arguments: float) -> Tensor:
        return fake_quantize(x, *arguments, rectify=True)

    gradients = _gradients(rectified, x, torch.tensor(step), 0, 15, 0.1)
    expected = _gradients(lambda x, *a: _composed(x.relu(), *a), x, torch.tensor(step), 0, 15, 0.1)
    _assert_equal(gradients, expected)


def test_gradients_pass_at_the_ends_of_the_range_and_stop_behind_them() -> None:
    ends = torch.tensor([-8.0, 7.0])
    outside = torch.nextafter(ends, torch.tensor([-torch.inf, torch.inf]))
    x = torch.cat([ends, outside]).requires_grad_()
    fake_quantize(x, torch.tensor(1.0), -8, 7, 1.0).sum().backward()
    assert x.grad.tolist() == [1, 1, 0, 0]
    x = torch.tensor([0.0, -1e-45], requires_grad=True)
    fake_quantize(x, torch.tensor(1.0), 0, 7, 1.0).sum().backward()
    assert x.grad.tolist() == [1, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_with_in_float32(dtype: torch.dtype) -> None:
    x, step = (_values(4, 64) * 16).to(dtype), torch.tensor(0.777)
    y, to_x, to_step = _gradients(fake_quantize, x, step, 0, 255, 0.1)
    wide = _gradients(_composed, x.float(), step, 0, 255, 0.1)
    assert y.dtype == to_x.dtype == dtype and to_step.dtype == torch.float32
    assert torch.equal(y, wide[0].to(dtype))
    assert torch.equal(to_x != 0, wide[1] != 0)
    # Only the upstream gradient was rounded.
    assert torch.allclose(to_step, wide[2], rtol=1e-2)


def test_autocast_changes_no_integer() -> None:
    x, step = _values(4, 64) * 16, torch.tensor(0.777)
    with torch.autocast("cpu", torch.bfloat16):
        y = fake_quantize(x, step, 0, 255, 0.1)
    assert torch.equal((y / step).round().long(), quantize(x, step, 0, 255))


def test_what_is_not_trained_gets_no_gradient() -> None:
    x, step = _values(8), torch.tensor(1.0)
    expected = _gradients(fake_quantize, x, step, -8, 7, 1.0)
    upstream = torch.sin(torch.arange(8))
    for trained in (0, 1):
        given = [x.clone(), step.clone()]
        given[trained].requires_grad_()
        fake_quantize(*given, -8, 7, 1.0).backward(upstream)
        assert given[1 - trained].grad is None
        assert torch.equal(given[trained].grad, expected[1 + trained])


def test_fake_quantized_values_are_exactly_step_times_integer() -> None:
    x = _values(1000, seed=3)
    for step in torch.rand(50, generator=torch.Generator().manual_seed(1)) + 0.01:
        for gradient_scale in (1e-3, 0.37):
            gradients = fake_quantize(x, step, -8, 7, gradient_scale)
            assert torch.equal(gradients, quantize(x, step, -8, 7) * step)

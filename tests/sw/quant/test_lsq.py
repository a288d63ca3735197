import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.quant import fake_quantize, quantize, round_half_up


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

"""Drawing k out of n: probabilities against enumeration, the gradient against autograd."""

from itertools import combinations, permutations
from math import sqrt

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from systolith.prune.dpp.gumbel import TINY, draw_gumbel_noise, draw_top_k, relaxed_gradient

DRAWS = 40_000


def _chance(logits: list[float], kept: tuple[int, ...]) -> float:
    """Probability of drawing this set, one after the other, each in proportion to exp(logit)."""
    weights = torch.tensor(logits).double().exp().tolist()
    total = 0.0
    for order in permutations(kept):
        left, chance = sum(weights), 1.0
        for i in order:
            chance *= weights[i] / left
            left -= weights[i]
        total += chance
    return total


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize(
    "logits", [[0.0, 0.0, 0.0, 0.0], [1.0, -0.5, 0.3, 0.0], [2.0, 0.0, -2.0, 1.0]]
)
def test_sets_are_drawn_as_often_as_enumeration_says(logits: list[float], k: int) -> None:
    generator = torch.Generator().manual_seed(7)
    rows = torch.tensor(logits).expand(DRAWS, -1)
    drawn = draw_top_k(rows + draw_gumbel_noise(rows, generator), k)
    masks = torch.zeros(DRAWS, len(logits)).scatter_(1, drawn, 1.0)
    for kept in combinations(range(len(logits)), k):
        wanted = _chance(logits, kept)
        mask = torch.zeros(len(logits)).index_fill_(0, torch.tensor(kept), 1.0)
        share = float((masks == mask).all(1).double().mean())
        # Five standard errors: one in a million draws of the whole test fails by chance.
        assert abs(share - wanted) <= 5 * sqrt(wanted * (1 - wanted) / DRAWS), (kept, share, wanted)


def test_chances_of_all_sets_sum_to_one() -> None:
    logits = [1.0, -0.5, 0.3, 0.0]
    assert sum(_chance(logits, kept) for kept in combinations(range(4), 2)) == pytest.approx(1.0)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.data(), st.integers(0, 2**31))
def test_exactly_k_different_ones_are_drawn(
    rows: int, n: int, data: st.DataObject, seed: int
) -> None:
    k = data.draw(st.integers(1, n))
    generator = torch.Generator().manual_seed(seed)
    noisy = draw_gumbel_noise(torch.zeros(rows, n), generator)
    drawn = draw_top_k(noisy, k)
    masks = torch.zeros(rows, n).scatter_(1, drawn, 1.0)
    assert drawn.shape == (rows, k)
    assert torch.equal(masks.sum(1), torch.full((rows,), float(k)))
    lowest_kept = noisy.masked_fill(masks == 0, torch.inf).amin(1)
    highest_left = noisy.masked_fill(masks == 1, -torch.inf).amax(1)
    assert bool((lowest_kept >= highest_left).all())


def test_ties_go_to_the_lower_index() -> None:
    assert draw_top_k(torch.zeros(1, 4), 2).tolist() == [[0, 1]]


def _relaxed_mask(noisy: Tensor, drawn: Tensor, temperature: float) -> Tensor:
    """Compute the gradient from the formula."""
    total = torch.zeros_like(noisy)
    cumulated = torch.zeros_like(noisy)
    for r in range(drawn.shape[1]):
        penalty = torch.log(1 - cumulated + TINY)
        total = total + torch.softmax((noisy + penalty) / temperature, dim=1)
        cumulated = cumulated + torch.zeros_like(noisy).scatter(1, drawn[:, r : r + 1], 1.0)
    return total


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.data(),
    st.sampled_from([0.1, 0.5, 1.0, 5.0]),
    st.sampled_from([0.01, 1.0, 25.0]),
    st.integers(0, 2**31),
)
def test_gradient_equals_autograd_of_the_formula(
    rows: int, n: int, data: st.DataObject, temperature: float, spread: float, seed: int
) -> None:
    k = data.draw(st.integers(1, n))
    generator = torch.Generator().manual_seed(seed)
    noisy = spread * torch.randn(rows, n, generator=generator, dtype=torch.float64)
    gradient = torch.randn(rows, n, generator=generator, dtype=torch.float64)
    drawn = draw_top_k(noisy, k)
    leaf = noisy.clone().requires_grad_()
    (wanted,) = torch.autograd.grad(_relaxed_mask(leaf, drawn, temperature), leaf, gradient)
    relaxed = relaxed_gradient(noisy, drawn, gradient, temperature)
    assert torch.allclose(relaxed, wanted, rtol=1e-9, atol=1e-11 / temperature)


def test_gradient_is_that_of_finite_differences() -> None:
    """Away from ties, the soft mask is smooth: central differences give the gradient."""
    generator = torch.Generator().manual_seed(0)
    noisy, gradient = torch.randn(2, 3, 5, generator=generator, dtype=torch.float64).unbind()
    drawn, width = draw_top_k(noisy, 3), 1e-5
    relaxed = relaxed_gradient(noisy, drawn, gradient, 0.7)
    for row, column in [(0, 0), (1, 3), (2, 4)]:
        moved = torch.zeros_like(noisy)
        moved[row, column] = width
        up, down = (_relaxed_mask(noisy + sign * moved, drawn, 0.7) for sign in (1, -1))
        slope = ((up - down) * gradient).sum() / (2 * width)
        assert float(relaxed[row, column]) == pytest.approx(float(slope), rel=1e-6)


def test_gradients_are_finite_however_far_logits_are_apart() -> None:
    noisy = torch.tensor([[0.0, -1e4, 1e4, -1e30, 3.0]])
    for temperature in (0.01, 0.5, 5.0):
        relaxed = relaxed_gradient(noisy, draw_top_k(noisy, 4), torch.randn(1, 5), temperature)
        assert bool(relaxed.isfinite().all()) and relaxed.dtype == torch.float32


def test_noise_depends_on_the_seed_alone() -> None:
    first, again, other = (
        draw_gumbel_noise(torch.zeros(3, 4), torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert bool(first.isfinite().all())

"""The torch mask equals the golden one, ties included."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.network import (
    Granularity,
    KOutOfN,
    Pattern,
    PerNeuron,
    Strided,
)
from systolith.prune import PruneError, topk_mask
from tests.support.strategies import patterns_with_shapes


@settings(deadline=None, max_examples=300)
@given(patterns_with_shapes(), st.integers(0, 2**32 - 1), st.sampled_from([2, 5, 1 << 20]))
def test_equals_the_golden_best_mask(
    drawn: tuple[Pattern, tuple[int, int, int, int]], seed: int, levels: int
) -> None:
    pattern, shape = drawn
    # Integers: sums are exact in any order, and few levels make ties.
    score = np.random.default_rng(seed).integers(-levels, levels, shape).astype(np.float64)
    mask = topk_mask(torch.from_numpy(score), pattern).numpy()
    assert np.array_equal(mask, pattern.best_mask(score))
    assert not list(pattern.violations(mask))
    assert mask.sum() == pattern.kept(shape)


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 24),
    st.data(),
    st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
    st.sampled_from([1, 3, 100]),
    st.integers(0, 2**32 - 1),
)
def test_groups_of_all_sizes_and_types_equal_the_golden_best_mask(
    n: int, data: st.DataObject, dtype: torch.dtype, levels: int, seed: int
) -> None:
    pattern = Pattern(select=KOutOfN(data.draw(st.integers(1, n)), n))
    score = np.random.default_rng(seed).integers(-levels, levels, (3, 2 * n, 2, 1)).astype(float)
    score[score == levels - 1] = np.inf
    score[score == -levels] = -np.inf
    mask = topk_mask(torch.from_numpy(score).to(dtype), pattern).numpy()
    assert np.array_equal(mask, pattern.best_mask(score))


@pytest.mark.parametrize("special", [np.inf, -np.inf])
@pytest.mark.parametrize(
    "select", [KOutOfN(1, 2, shared_by=2), KOutOfN(1, 2, Granularity.KERNEL, 2), PerNeuron(2, 2)]
)
def test_infinite_scores_are_ordered_as_in_the_golden_mask(
    special: float, select: KOutOfN | PerNeuron
) -> None:
    score = np.zeros((2, 4, 2, 1))
    score[0, 1] = special
    score[1, 1] = -special
    score[1, 2] = special
    pattern = Pattern(select=select, taps=Strided(2, (0, 0, 1, 1)))
    mask = topk_mask(torch.from_numpy(score), pattern).numpy()
    assert np.array_equal(mask, pattern.best_mask(score))


def test_ties_go_to_the_lower_index() -> None:
    mask = topk_mask(torch.zeros(1, 4, 1, 1), Pattern(select=KOutOfN(2, 4)))
    assert mask.flatten().tolist() == [True, True, False, False]


def test_takes_linear_weights() -> None:
    mask = topk_mask(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), Pattern(select=KOutOfN(1, 2)))
    assert mask.tolist() == [[False, True], [True, False]]


def test_refuses_a_pattern_that_does_not_fit_and_nan() -> None:
    message = (
        "2 problems:\n  - 1-out-of-4 pruning needs input channels divisible by 4, got 6"
        "\n  - scores must be numbers, got nan"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        topk_mask(torch.full((1, 6, 1, 1), torch.nan), Pattern(select=KOutOfN(1, 4)))


def test_refuses_other_shapes() -> None:
    message = "weights and masks need shape (F, C, Kh, Kw), (F, C, K) or (O, I), got (3,)"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        topk_mask(torch.zeros(3), Pattern())

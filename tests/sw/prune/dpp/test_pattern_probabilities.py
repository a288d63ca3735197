"""Probabilities are the best within the limit, whatever the scale of the scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from systolith.prune.dpp.pattern_probabilities import PatternProbabilities

COSTS = [[8.0, 4.0, 2.0], [6.0, 1.0]]
SCORES = [[-1.0, 0.0, 2.0], [-3.0, 1.0]]
"""Scores of each pattern of each layer; denser patterns lose less."""


def _make(costs: list[list[float]], limit: float) -> PatternProbabilities:
    """Make probabilities without prior losses."""
    return PatternProbabilities(costs, [[0.0] * len(row) for row in costs], limit)


def _expected(probabilities: Tensor, costs: list[list[float]]) -> float:
    return sum(
        float(p) * cost
        for row, row_costs in zip(probabilities, costs, strict=True)
        for p, cost in zip(row, row_costs, strict=False)
    )


layers = st.lists(
    st.lists(st.tuples(st.integers(0, 50), st.integers(-40, 40)), min_size=1, max_size=5),
    min_size=1,
    max_size=4,
)


@settings(deadline=None, max_examples=100)
@given(layers, st.floats(0.0, 1.2), st.integers(0, 2**20))
def test_no_probabilities_within_the_limit_are_better(
    layers: list[list[tuple[int, int]]], share: float, seed: int
) -> None:
    """They minimize expected loss minus entropy: all others within the limit lose more."""
    costs = [[float(cost) for cost, _ in layer] for layer in layers]
    least, most = (sum(pick(layer) for layer in costs) for pick in (min, max))
    limit = least + share * (most - least)
    probabilities = _make(costs, limit)
    probabilities.learn_([[score / 10 for _, score in layer] for layer in layers])
    best = probabilities.probabilities()
    assert _expected(best, costs) <= limit + 1e-6 * (most + 1)
    there = probabilities.worth > -torch.inf
    assert torch.allclose(best.sum(1), torch.ones(len(costs), dtype=torch.float64))
    assert not best[~there].any()

    def lost(p: Tensor) -> float:
        worth = probabilities.worth.masked_fill(~there, 0.0)
        return float(-(p * worth).sum() - torch.special.entr(p).sum())

    generator = torch.Generator().manual_seed(seed)
    for closeness in (0.01, 0.3, 1.0):
        other = torch.rand(best.shape, generator=generator, dtype=torch.float64) * there
        other = (1 - closeness) * best + closeness * other / other.sum(1, keepdim=True)
        if _expected(other, costs) <= limit:
            assert lost(best) <= lost(other) + 1e-5


def test_costs_have_a_price_only_where_the_limit_needs_one() -> None:
    generous, tight = _make(COSTS, 14.0), _make(COSTS, 5.0)
    for probabilities in (generous, tight):
        probabilities.learn_(SCORES)
    assert generous.price == 0.0 and tight.price > 0.0
    assert _expected(generous.probabilities(), COSTS) < 14.0
    assert _expected(tight.probabilities(), COSTS) == pytest.approx(5.0)


def test_a_limit_at_the_cheapest_leaves_no_choice() -> None:
    probabilities = _make(COSTS, 3.0)
    probabilities.learn_(SCORES)
    drawn = {tuple(probabilities.draw(torch.Generator().manual_seed(seed))) for seed in range(20)}
    assert drawn == {(2, 1)}


def test_scale_and_offsets_of_scores_do_not_matter() -> None:
    plain, other = _make(COSTS, 7.0), _make(COSTS, 7.0)
    for scores in (SCORES, [[0.5, 0.25, 1.0], [2.0, -1.0]]):
        plain.learn_(scores)
        other.learn_([[1024 * score for score in layer] for layer in scores])
    assert torch.equal(plain.probabilities(), other.probabilities())
    offset = _make(COSTS, 7.0)
    offset.learn_([[score + 3 for score in layer] for layer in SCORES])
    plain = _make(COSTS, 7.0)
    plain.learn_(SCORES)
    assert torch.allclose(plain.probabilities(), offset.probabilities())


def test_what_agrees_decides_and_noise_does_not() -> None:
    """Worth grows with the square root of the number of steps, or stays near 1."""
    generator = torch.Generator().manual_seed(0)
    agreeing, noisy = _make([[1.0, 1.0]], 1.0), _make([[1.0, 1.0]], 1.0)
    for _ in range(400):
        agreeing.learn_([[-1.0, 1.0]])
        noise = float(torch.randn((), generator=generator))
        noisy.learn_([[-noise, noise]])
    assert agreeing.worth[0].tolist() == pytest.approx([20.0, -20.0])
    assert float(noisy.worth.abs().max()) < 3


def test_the_layer_that_loses_more_keeps_more() -> None:
    probabilities = _make([[4.0, 1.0], [4.0, 1.0]], 5.0)
    for _ in range(50):
        probabilities.learn_([[-1.0, 1.0], [-0.1, 0.1]])
    first, second = probabilities.probabilities().tolist()
    assert first[0] > 0.9 and second[1] > 0.9


def test_draws_have_the_odds() -> None:
    probabilities = _make(COSTS, 7.0)
    probabilities.learn_(SCORES)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(2, 3, dtype=torch.float64)
    for _ in range(2000):
        for layer, pattern in enumerate(probabilities.draw(generator)):
            counts[layer, pattern] += 1
    assert torch.allclose(counts / 2000, probabilities.probabilities(), atol=0.04)


def test_what_is_known_beforehand_decides_where_nothing_is_heard() -> None:
    assert _make([[3.0, 2.0, 1.0]], 3.0).probabilities().tolist() == [pytest.approx([1 / 3] * 3)]
    known = PatternProbabilities([[3.0, 2.0, 1.0]], [[0.0, 0.25, 1.0]], 3.0)
    assert known.worth.tolist() == [[0.0, -0.25, -1.0]]
    known.learn_([[2.0, 2.0, 2.0]])
    assert known.worth.tolist() == [[0.0, -0.25, -1.0]]


def test_goes_on_from_a_state() -> None:
    probabilities = _make(COSTS, 7.0)
    probabilities.learn_(SCORES)
    other = PatternProbabilities(COSTS, [[0.5] * 3, [0.0, 1.0]], 6.0)
    other.load_state_dict(probabilities.state_dict())
    for instance in (probabilities, other):
        instance.learn_([[0.5, 0.25, 1.0], [2.0, -1.0]])
    assert torch.equal(probabilities.probabilities(), other.probabilities())

"""The optimizer alone, on objectives small or structured enough to know the answer."""

import itertools
import re
from statistics import median

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from systolith.prune import PruneError
from systolith.prune.search import (
    BestOfRandom,
    ChoicePerRow,
    ExactlyK,
    ParticleFilter,
    ParticleLosses,
    ParticleSpace,
    SearchState,
    importance_weights,
    minimize,
    systematic_resampling,
)

PLAIN = ParticleFilter(particles=32, generations=20, crossover=0.0, mutation=0.0)
HYBRID = ParticleFilter(particles=32, generations=20)


def _weights(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _additive(seed: int, rows: int, n: int) -> ParticleLosses:
    """Every one costs something of its own: the optimum is known, and partial progress counts."""
    cost = _weights(seed, rows, n)
    return lambda particles: (particles * cost).sum((1, 2))


def _pairwise(seed: int, n: int) -> ParticleLosses:
    """Costs of pairs of ones: not additive."""
    cost = _weights(seed, n, n)
    return lambda particles: torch.einsum(
        "pri,ij,prj->p", particles.double(), cost, particles.double()
    )


def _enumerated(n: int, k: int) -> Tensor:
    rows = [[i in chosen for i in range(n)] for chosen in itertools.combinations(range(n), k)]
    return torch.tensor(rows)[:, None]


@pytest.mark.parametrize("search", [PLAIN, HYBRID], ids=["plain", "hybrid"])
@pytest.mark.parametrize("seed", range(5))
def test_finds_the_optimum_among_all_masks(search: ParticleFilter, seed: int) -> None:
    space = ExactlyK(rows=1, n=8, k=3)
    objective = _pairwise(seed, 8)
    everything = _enumerated(8, 3)
    losses = objective(everything)
    found = minimize(search, space, objective, seed=seed)
    assert found.best is not None
    assert torch.equal(found.best, everything[losses.argmin()])
    assert found.best_loss == pytest.approx(float(losses.min()), rel=1e-12)


@pytest.mark.parametrize("search", [PLAIN, HYBRID], ids=["plain", "hybrid"])
def test_finds_the_optimum_among_all_choices(search: ParticleFilter) -> None:
    cost = _weights(3, 4, 3)
    pairs = _weights(4, 3, 3)

    def objective(particles: Tensor) -> Tensor:
        single = cost[torch.arange(4), particles].sum(1)
        return single + pairs[particles[:, :-1], particles[:, 1:]].sum(1)

    everything = torch.cartesian_prod(*[torch.arange(3)] * 4)
    found = minimize(search, ChoicePerRow(rows=4, choices=3), objective)
    assert found.best is not None
    assert torch.equal(found.best, everything[objective(everything).argmin()])


SPACES = st.one_of(
    st.builds(
        lambda rows, n, short: ExactlyK(rows=rows, n=n, k=max(1, n - short)),
        st.integers(1, 4),
        st.integers(1, 9),
        st.integers(0, 8),
    ),
    st.builds(
        lambda rows, choices: ChoicePerRow(rows=rows, choices=choices), *[st.integers(1, 5)] * 2
    ),
)


@settings(deadline=None, max_examples=60)
@given(SPACES, st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 1), st.integers(0, 4))
def test_never_leaves_its_space(
    space: ParticleSpace, seed: int, crossover: float, mutation: float, swaps: int
) -> None:
    search = ParticleFilter(
        particles=9, generations=4, crossover=crossover, mutation=mutation, swaps=swaps
    )

    def objective(particles: Tensor) -> Tensor:
        assert space.contains(particles)
        return (particles * _weights(seed % 100, *particles.shape[1:])).flatten(1).sum(1)

    found = minimize(search, space, objective, seed=seed)
    assert found.best is not None
    assert space.contains(found.best[None])
    assert found.evaluations == 9 * 4


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3), st.integers(2, 8), st.data())
def test_children_have_what_both_parents_have(rows: int, n: int, data: st.DataObject) -> None:
    space = ExactlyK(rows=rows, n=n, k=data.draw(st.integers(1, n)))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    first, second = space.sample(5, generator), space.sample(5, generator)
    children = space.cross(first, second, generator)
    assert space.contains(children)
    assert not (first & second & ~children).any()
    assert not (children & ~(first | second)).any()


def test_a_swap_moves_one_one() -> None:
    space, generator = ExactlyK(rows=3, n=6, k=2), torch.Generator().manual_seed(0)
    particles = space.sample(50, generator)
    assert ((space.swap(particles, generator) != particles).sum((1, 2)) == 2).all()
    offsets = ChoicePerRow(rows=4, choices=3).sample(50, generator)
    moved = ChoicePerRow(rows=4, choices=3).swap(offsets, generator)
    assert ((moved != offsets).sum(1) == 1).all()


def test_samples_are_equally_likely() -> None:
    particles = ExactlyK(rows=1, n=4, k=2).sample(6000, torch.Generator().manual_seed(1))
    _, counts = particles.flatten(1).long().unique(dim=0, return_counts=True)
    assert len(counts) == 6
    assert ((counts - 1000).abs() < 150).all()  # five standard deviations


def _median_loss(search: ParticleFilter | BestOfRandom, objectives: list[ParticleLosses]) -> float:
    space = ExactlyK(rows=4, n=16, k=6)
    return median(
        minimize(search, space, objective, seed=seed).best_loss
        for seed, objective in enumerate(objectives)
    )


def test_beats_random_draws_at_the_same_number_of_evaluations() -> None:
    objectives = [_additive(seed, 4, 16) for seed in range(9)]
    random = _median_loss(BestOfRandom(particles=32, generations=20), objectives)
    plain = _median_loss(PLAIN, objectives)
    hybrid = _median_loss(HYBRID, objectives)
    optimum = median(float(_weights(seed, 4, 16).sort(1).values[:, :6].sum()) for seed in range(9))
    assert plain < random
    assert hybrid < random
    assert hybrid - optimum < 0.75 * (random - optimum)


def test_random_draws_are_as_many() -> None:
    seen = []

    def objective(particles: Tensor) -> Tensor:
        seen.append(particles)
        return particles.sum((1, 2)).double()

    found = minimize(
        BestOfRandom(particles=7, generations=3), ExactlyK(rows=2, n=4, k=2), objective
    )
    assert found.evaluations == sum(map(len, seen)) == 21


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.integers(0, 2**31))
def test_resamples_each_particle_by_its_weight(losses: list[float], seed: int) -> None:
    weights = importance_weights(torch.tensor(losses, dtype=torch.float64))
    survivors = systematic_resampling(weights, torch.Generator().manual_seed(seed))
    counts = torch.bincount(survivors, minlength=len(losses))
    share = len(losses) * weights
    assert survivors.shape == (len(losses),)
    # The cumulative weights are rounded, so a share that is a whole number may be off by one.
    assert (counts >= (share - 1e-9).floor()).all()
    assert (counts <= (share + 1e-9).ceil()).all()


def test_weights_are_the_closed_form() -> None:
    losses = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
    std = (2 / 3) ** 0.5
    expected = torch.exp(-torch.tensor([0.0, 2.0, 1.0], dtype=torch.float64) / std)
    torch.testing.assert_close(importance_weights(losses), expected / expected.sum())


@pytest.mark.parametrize("search", [HYBRID, BestOfRandom(particles=8, generations=6)])
def test_the_same_seed_finds_the_same_and_another_does_not(
    search: ParticleFilter | BestOfRandom,
) -> None:
    space, objective = ExactlyK(rows=6, n=20, k=7), _additive(0, 6, 20)
    runs = [minimize(search, space, objective, seed=seed) for seed in (1, 1, 2)]
    best = [run.best for run in runs]
    assert best[0] is not None and best[1] is not None and best[2] is not None
    assert torch.equal(best[0], best[1])
    assert runs[0].history == runs[1].history
    assert not torch.equal(best[0], best[2])


@pytest.mark.parametrize("search", [HYBRID, BestOfRandom(particles=8, generations=6)])
def test_goes_on_from_a_saved_state(search: ParticleFilter | BestOfRandom) -> None:
    space, objective = ExactlyK(rows=6, n=20, k=7), _additive(0, 6, 20)
    states = []
    whole = minimize(
        search, space, objective, report=lambda state: states.append(state.state_dict())
    )
    resumed = minimize(search, space, objective, state=SearchState.from_state_dict(states[2]))
    assert resumed.history == whole.history
    assert resumed.best is not None and whole.best is not None
    assert torch.equal(resumed.best, whole.best)
    assert resumed.evaluations == whole.evaluations


def test_the_best_is_never_forgotten() -> None:
    seen: list[float] = []

    def objective(particles: Tensor) -> Tensor:
        losses = _pairwise(5, 12)(particles)
        seen.append(float(losses.min()))
        return losses

    found = minimize(HYBRID, ExactlyK(rows=1, n=12, k=6), objective)
    assert found.best_loss == min(seen)
    assert found.history == [min(seen[: i + 1]) for i in range(len(seen))]


@pytest.mark.parametrize("seed", range(3))
def test_begins_from_a_guess_and_finds_none_that_is_worse(seed: int) -> None:
    space, objective = ExactlyK(rows=6, n=20, k=7), _additive(seed, 6, 20)
    optimum = _weights(seed, 6, 20).argsort(1)[:, :7]
    guess = torch.zeros(6, 20, dtype=torch.bool).scatter_(1, optimum, True)
    guess = space.swap(guess[None], torch.Generator().manual_seed(seed))[0]
    short = ParticleFilter(particles=8, generations=3)
    from_guess = minimize(short, space, objective, seed=seed, guess=guess)
    assert from_guess.history[0] == float(objective(guess[None]))
    assert from_guess.best_loss <= from_guess.history[0]
    assert minimize(short, space, objective, seed=seed).best_loss > from_guess.best_loss
    random = BestOfRandom(particles=8, generations=3)
    assert (
        minimize(random, space, objective, seed=seed, guess=guess).history
        == minimize(random, space, objective, seed=seed).history
    )


def test_refuses_numbers_out_of_range() -> None:
    message = (
        "5 problems:\n  - particles must be at least 1, got 0"
        "\n  - generations must be at least 1, got 0"
        "\n  - crossover must be a probability in 0..1, got 2"
        "\n  - mutation must be a probability in 0..1, got -0.1"
        "\n  - swaps must be at least 0, got -1"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        ParticleFilter(particles=0, generations=0, crossover=2, mutation=-0.1, swaps=-1)
    message = (
        "2 problems:\n  - a search over masks needs at least one row, got 0"
        "\n  - a search over k-out-of-n masks needs 1 <= k <= n, got k=5, n=4"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        ExactlyK(rows=0, n=4, k=5)
    message = "a search over choices needs choices of at least 1, got 0"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        ChoicePerRow(rows=1, choices=0)


def test_refuses_losses_that_are_no_numbers_or_too_few() -> None:
    space = ExactlyK(rows=1, n=4, k=2)
    message = "an objective must give finite losses, got nan for particle 0"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        minimize(HYBRID, space, lambda particles: torch.full((len(particles),), torch.nan))
    message = "an objective must give one loss for each of 32 particles, got (1,)"
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        minimize(HYBRID, space, lambda particles: torch.zeros(1))

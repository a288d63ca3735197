"""Search by a particle filter, or by random draws; independent of networks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from systolith.prune.errors import PruneError
from systolith.prune.search.spaces import ParticleSpace
from systolith.prune.search.state import SearchState

__all__ = [
    "BestOfRandom",
    "ParticleFilter",
    "ParticleLosses",
    "Search",
    "importance_weights",
    "minimize",
    "systematic_resampling",
]

ParticleLosses = Callable[[Tensor], Tensor]
"""Function from particles, shape (P, ...), to finite losses, shape (P,); low is good."""


class Search(Protocol):
    """Search for the particle with the lowest loss, one generation at a time."""

    @property
    def generations(self) -> int:
        """Number of generations."""
        ...

    def start(self, space: ParticleSpace, seed: int, guess: Tensor | None = None) -> SearchState:
        """Draw the first particles; a guess, shape (...), may be one of them."""
        ...

    def step(self, space: ParticleSpace, objective: ParticleLosses, state: SearchState) -> None:
        """Run one generation, in place: evaluate particles, keep the best, draw the next ones."""
        ...


def minimize(
    search: Search,
    space: ParticleSpace,
    objective: ParticleLosses,
    *,
    seed: int = 0,
    guess: Tensor | None = None,
    state: SearchState | None = None,
    report: Callable[[SearchState], None] | None = None,
) -> SearchState:
    """Run a search to its end.

    Parameters
    ----------
    search : Search
        For example :class:`ParticleFilter`.
    space : ParticleSpace
        Particles to search.
    objective : callable
        Function from particles on the CPU, shape (P, ...), to losses, shape (P,), on any device.
    seed : int
        The same seed finds the same particle.
    guess : Tensor, shape (...), optional
        Particle to begin from; a :class:`ParticleFilter` finds none that is worse.
    state : SearchState, optional
        Continue from this state instead of starting from `seed`.
    report : callable, optional
        Called after each generation; save ``state.state_dict()`` to continue later.

    Returns
    -------
    SearchState
        Its `best` and `best_loss` are the result.

    Raises
    ------
    PruneError
        If the objective does not return one finite loss per particle.
    """
    state = search.start(space, seed, guess) if state is None else state
    while state.generation < search.generations:
        search.step(space, objective, state)
        if report is not None:
            report(state)
    return state


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticleFilter:
    """Sequential importance resampling over particles, with evolutionary steps in between.

    In each generation, particles with losses l_i survive with weights
    ``w_i = exp(-(l_i - min l) / std l)``, normalised, by systematic resampling. Survivors are then
    crossed and mutated (the evolutionary hybrid), and moved by process noise. With `crossover` and
    `mutation` 0, this is the plain particle filter.

    Parameters
    ----------
    particles, generations : int
        At least 1; their product is the number of evaluations.
    crossover : float
        Probability that a survivor is replaced by a child of itself and another one, 0..1.
    mutation : float
        Probability that a gene changes, 0..1. The paper uses 0.01 to 0.1; use 0.01 for thousands
        of genes.
    swaps : int
        Number of smallest steps of process noise per particle and generation, at least 0.

    Raises
    ------
    PruneError
        If a number is out of range; all problems are listed.

    Notes
    -----
    Anwar, Hwang, Sung: Structured pruning of deep convolutional neural networks (ACM JETC 13(3),
    2017), section on the selection of pruning candidates.

    **Deviation:** repair keeps every particle exactly k-out-of-n; the best particle ever seen is
    returned even if it died out; weights are relative to the spread of losses in a generation.

    Examples
    --------
    >>> from systolith.prune.search.spaces import ExactlyK
    >>> target = torch.tensor([True, False, True, False])
    >>> state = minimize(
    ...     ParticleFilter(particles=8, generations=5), ExactlyK(rows=1, n=4, k=2),
    ...     lambda particles: (particles != target).sum((1, 2)),
    ... )
    >>> state.best, state.best_loss, state.evaluations
    (tensor([[ True, False,  True, False]]), 0.0, 40)
    """

    particles: int = 64
    generations: int = 15
    crossover: float = 0.5
    mutation: float = 0.01
    swaps: int = 1

    def __post_init__(self) -> None:
        problems = _count_problems(self.particles, self.generations)
        problems += [
            f"{name} must be a probability in 0..1, got {value}"
            for name, value in (("crossover", self.crossover), ("mutation", self.mutation))
            if not 0 <= value <= 1
        ]
        if self.swaps < 0:
            problems.append(f"swaps must be at least 0, got {self.swaps}")
        PruneError.raise_if_any(problems)

    def start(self, space: ParticleSpace, seed: int, guess: Tensor | None = None) -> SearchState:
        """See :meth:`Search.start`; the guess replaces the first particle."""
        state = _start(space, self.particles, seed)
        if guess is not None:
            state.particles[0] = guess
        return state

    def step(self, space: ParticleSpace, objective: ParticleLosses, state: SearchState) -> None:
        """See :meth:`Search.step`."""
        losses = _losses(objective, state.particles)
        state.remember(losses)
        generator = state.generator
        survivors = systematic_resampling(importance_weights(losses), generator)
        particles = state.particles[survivors]
        if self.crossover > 0:
            partners = particles[torch.randperm(len(particles), generator=generator)]
            children = space.cross(particles, partners, generator)
            crossed = torch.rand(len(particles), generator=generator) < self.crossover
            particles[crossed] = children[crossed]
        if self.mutation > 0:
            particles = space.mutate(particles, self.mutation, generator)
        for _ in range(self.swaps):
            particles = space.swap(particles, generator)
        state.particles = particles


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfRandom:
    """The best of ``particles * generations`` random particles: the baseline of a search.

    Parameters
    ----------
    particles, generations : int
        At least 1.

    Raises
    ------
    PruneError
        If a number is out of range; all problems are listed.

    Notes
    -----
    Anwar, Sung: Coarse pruning of convolutional neural networks with random masks (arXiv
    1610.09639, 2016).
    """

    particles: int = 64
    generations: int = 15

    def __post_init__(self) -> None:
        PruneError.raise_if_any(_count_problems(self.particles, self.generations))

    def start(self, space: ParticleSpace, seed: int, guess: Tensor | None = None) -> SearchState:
        """See :meth:`Search.start`; the baseline ignores a guess."""
        return _start(space, self.particles, seed)

    def step(self, space: ParticleSpace, objective: ParticleLosses, state: SearchState) -> None:
        """See :meth:`Search.step`."""
        state.remember(_losses(objective, state.particles))
        state.particles = space.sample(self.particles, state.generator)


def _start(space: ParticleSpace, particles: int, seed: int) -> SearchState:
    generator = torch.Generator().manual_seed(seed)
    return SearchState(generator=generator, particles=space.sample(particles, generator))


def _losses(objective: ParticleLosses, particles: Tensor) -> Tensor:
    losses = objective(particles).detach().cpu().double()
    if losses.shape != (len(particles),):
        given = tuple(losses.shape)
        raise PruneError(
            [f"an objective must give one loss for each of {len(particles)} particles, got {given}"]
        )
    if not losses.isfinite().all():
        first = int((~losses.isfinite()).nonzero()[0])
        raise PruneError(
            [f"an objective must give finite losses, got {losses[first]} for particle {first}"]
        )
    return losses


def _count_problems(particles: int, generations: int) -> list[str]:
    return [
        f"{name} must be at least 1, got {value}"
        for name, value in (("particles", particles), ("generations", generations))
        if value < 1
    ]


def importance_weights(losses: Tensor) -> Tensor:
    """Weigh particles by ``exp(-(loss - min) / std)``, normalised to a sum of 1.

    Parameters
    ----------
    losses : Tensor of float, shape (P,)
        Finite.

    Returns
    -------
    Tensor of float64, shape (P,)
        Equal weights if all losses are equal.

    Examples
    --------
    >>> importance_weights(torch.tensor([2.0, 2.0]))
    tensor([0.5000, 0.5000], dtype=torch.float64)
    """
    excess = losses.double() - losses.double().min()
    std = excess.std(correction=0)
    weights = torch.exp(-excess / std) if std > 0 else torch.ones_like(excess)
    return weights / weights.sum()


def systematic_resampling(weights: Tensor, generator: Generator) -> Tensor:
    """Draw as many particles as there are, particle i ``floor(P w_i)`` or ``ceil(P w_i)`` times.

    One random number places a comb of P equally spaced teeth over the cumulative weights.

    Parameters
    ----------
    weights : Tensor of float64, shape (P,)
        Sum 1.
    generator : torch.Generator

    Returns
    -------
    Tensor of int64, shape (P,)
        Indices of the survivors, ascending.

    Notes
    -----
    Kitagawa: Monte Carlo filter and smoother for non-Gaussian nonlinear state space models (1996).
    """
    count = len(weights)
    shift = torch.rand(1, dtype=torch.float64, generator=generator)
    teeth = (torch.arange(count, dtype=torch.float64) + shift) / count
    # Rounding may leave the last sum a little below 1, and a tooth beyond it.
    return torch.searchsorted(weights.cumsum(0), teeth, right=True).clamp(max=count - 1)

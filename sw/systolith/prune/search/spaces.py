"""Spaces of particles: k ones in every row, or one of several choices in every row.

Moves of a search never leave their space, so every particle is valid.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from systolith.prune.errors import PruneError

__all__ = ["ChoicePerRow", "ExactlyK", "ParticleSpace"]


class ParticleSpace(Protocol):
    """Particles, shape (P, ...), and moves between them; results are new tensors on the CPU."""

    def sample(self, count: int, generator: Generator) -> Tensor:
        """Draw `count` particles, each equally likely."""
        ...

    def cross(self, first: Tensor, second: Tensor, generator: Generator) -> Tensor:
        """Cross pairs of particles: children keep what both parents share."""
        ...

    def mutate(self, particles: Tensor, rate: float, generator: Generator) -> Tensor:
        """Change every gene with probability `rate`, then repair particles outside the space."""
        ...

    def swap(self, particles: Tensor, generator: Generator) -> Tensor:
        """Change each particle at one position by the smallest step within the space."""
        ...

    def contains(self, particles: Tensor) -> bool:
        """Whether all particles belong to this space."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactlyK:
    """Binary rows with exactly k ones each: particles of bool, shape (P, rows, n).

    Parameters
    ----------
    rows, n, k : int
        At least one row; ``1 <= k <= n``.

    Raises
    ------
    PruneError
        If the numbers are out of range; all problems are listed.
    """

    rows: int
    n: int
    k: int

    def __post_init__(self) -> None:
        problems = []
        if self.rows < 1:
            problems.append(f"a search over masks needs at least one row, got {self.rows}")
        if not 1 <= self.k <= self.n:
            problems.append(
                f"a search over k-out-of-n masks needs 1 <= k <= n, got k={self.k}, n={self.n}"
            )
        PruneError.raise_if_any(problems)

    def sample(self, count: int, generator: Generator) -> Tensor:
        """See :meth:`ParticleSpace.sample`."""
        return self._repair(torch.zeros(count, self.rows, self.n), generator)

    def cross(self, first: Tensor, second: Tensor, generator: Generator) -> Tensor:
        """Cross pairs: children keep ones that both parents have, and draw the rest from either.

        Parents with k ones each share at most k and have at least k together, so a child always has
        exactly k.
        """
        return self._repair(first.float() + second.float(), generator)

    def mutate(self, particles: Tensor, rate: float, generator: Generator) -> Tensor:
        """See :meth:`ParticleSpace.mutate`; surplus ones go, missing ones come, at random."""
        flips = torch.rand(particles.shape, generator=generator) < rate
        return self._repair((particles ^ flips).float(), generator)

    def swap(self, particles: Tensor, generator: Generator) -> Tensor:
        """Swap a random one with a random zero of a random row; rows without zeros stay."""
        if self.k == self.n:
            return particles.clone()
        count = len(particles)
        particle = torch.arange(count)
        row = torch.randint(self.rows, (count,), generator=generator)
        key = torch.rand(count, self.n, generator=generator)
        bits = particles[particle, row]
        swapped = particles.clone()
        swapped[particle, row, (key + bits.float()).argmax(1)] = False
        swapped[particle, row, (key - bits.float()).argmax(1)] = True
        return swapped

    def contains(self, particles: Tensor) -> bool:
        """See :meth:`ParticleSpace.contains`."""
        fits = particles.dtype == torch.bool and particles.shape[1:] == (self.rows, self.n)
        return fits and bool((particles.sum(-1) == self.k).all())

    def _repair(self, worth: Tensor, generator: Generator) -> Tensor:
        """Keep the k highest of each row; integers that are equal are chosen at random."""
        key = worth + torch.rand(worth.shape, generator=generator)
        chosen = key.topk(self.k, dim=-1).indices
        return torch.zeros(worth.shape, dtype=torch.bool).scatter_(-1, chosen, True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicePerRow:
    """One of `choices` numbers in every row: particles of int64 in 0..choices-1, shape (P, rows).

    Parameters
    ----------
    rows, choices : int
        At least 1 each.

    Raises
    ------
    PruneError
        If the numbers are out of range; all problems are listed.
    """

    rows: int
    choices: int

    def __post_init__(self) -> None:
        problems = [
            f"a search over choices needs {name} of at least 1, got {value}"
            for name, value in (("rows", self.rows), ("choices", self.choices))
            if value < 1
        ]
        PruneError.raise_if_any(problems)

    def sample(self, count: int, generator: Generator) -> Tensor:
        """See :meth:`ParticleSpace.sample`."""
        return torch.randint(self.choices, (count, self.rows), generator=generator)

    def cross(self, first: Tensor, second: Tensor, generator: Generator) -> Tensor:
        """Cross pairs: children take every number from either parent, with equal probability."""
        heads = torch.rand(first.shape, generator=generator) < 0.5
        return torch.where(heads, first, second)

    def mutate(self, particles: Tensor, rate: float, generator: Generator) -> Tensor:
        """See :meth:`ParticleSpace.mutate`; a changed gene gets one of the other choices."""
        hit = torch.rand(particles.shape, generator=generator) < rate
        return torch.where(hit, self._another(particles, generator), particles)

    def swap(self, particles: Tensor, generator: Generator) -> Tensor:
        """Give a random row another choice."""
        particle = torch.arange(len(particles))
        row = torch.randint(self.rows, (len(particles),), generator=generator)
        swapped = particles.clone()
        swapped[particle, row] = self._another(particles[particle, row], generator)
        return swapped

    def contains(self, particles: Tensor) -> bool:
        """See :meth:`ParticleSpace.contains`."""
        fits = particles.dtype == torch.int64 and particles.shape[1:] == (self.rows,)
        return fits and bool(((particles >= 0) & (particles < self.choices)).all())

    def _another(self, numbers: Tensor, generator: Generator) -> Tensor:
        if self.choices == 1:
            return numbers.clone()
        step = torch.randint(1, self.choices, numbers.shape, generator=generator)
        return (numbers + step) % self.choices

"""State of a search: everything that is needed to continue with identical results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

import torch
from torch import Generator, Tensor

__all__ = ["SearchState"]


@dataclass(kw_only=True)
class SearchState:
    """A search between two generations.

    Parameters
    ----------
    generator : torch.Generator
        Source of all randomness of the search.
    particles : Tensor, shape (P, ...)
        Particles to evaluate next.
    best : Tensor, optional
        Particle with the lowest loss so far, the first if equal; None before the first generation.
    best_loss : float
        Its loss; infinite before the first generation.
    history : list of float
        `best_loss` after each finished generation.
    evaluations : int
        Number of evaluated particles.
    """

    generator: Generator
    particles: Tensor
    best: Tensor | None = None
    best_loss: float = inf
    history: list[float] = field(default_factory=list)
    evaluations: int = 0

    @property
    def generation(self) -> int:
        """Number of finished generations."""
        return len(self.history)

    def remember(self, losses: Tensor) -> None:
        """Record the losses, shape (P,), of all particles and finish the generation."""
        lowest = int(losses.argmin())
        if float(losses[lowest]) < self.best_loss:
            self.best, self.best_loss = self.particles[lowest].clone(), float(losses[lowest])
        self.history.append(self.best_loss)
        self.evaluations += len(losses)

    def state_dict(self) -> dict[str, Any]:
        """State as tensors and numbers."""
        return {
            "generator": self.generator.get_state(),
            "particles": self.particles.clone(),
            "best": None if self.best is None else self.best.clone(),
            "best_loss": self.best_loss,
            "history": list(self.history),
            "evaluations": self.evaluations,
        }

    @staticmethod
    def from_state_dict(state: Mapping[str, Any]) -> "SearchState":
        """Restore a state from what :meth:`state_dict` returned."""
        generator = torch.Generator()
        generator.set_state(state["generator"])
        return SearchState(
            generator=generator,
            particles=state["particles"].clone(),
            best=None if state["best"] is None else state["best"].clone(),
            best_loss=state["best_loss"],
            history=list(state["history"]),
            evaluations=state["evaluations"],
        )

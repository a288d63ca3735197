"""How far a search has come: all that is needed to go on with identical results."""

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
        All randomness of the search.
    particles : Tensor, shape (P, ...)
        To be evaluated next.
    best : Tensor, optional
        Particle with the lowest loss ever seen, the first of equals; none before the first
        generation.
    best_loss : float
        Its loss; infinite before the first generation.
    history : list of float
        `best_loss` after each generation done.
    evaluations : int
        Particles evaluated.
    """

    generator: Generator
    particles: Tensor
    best: Tensor | None = None
    best_loss: float = inf
    history: list[float] = field(default_factory=list)
    evaluations: int = 0

    @property
    def generation(self) -> int:
        """Generations done."""
        return len(self.history)

    def remember(self, losses: Tensor) -> None:
        """Take note of the losses, shape (P,), of all particles: a generation is done."""
        lowest = int(losses.argmin())
        if float(losses[lowest]) < self.best_loss:
            self.best, self.best_loss = self.particles[lowest].clone(), float(losses[lowest])
        self.history.append(self.best_loss)
        self.evaluations += len(losses)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and numbers."""
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
        """Make a search that goes on where :meth:`state_dict` was taken."""
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

"""Searches about one network, one after the other; each starts from the earlier decisions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from torch import Tensor, nn

from systolith.foundation import Progress
from systolith.prune.errors import PruneError
from systolith.prune.search.particles import ParticleLosses, Search, minimize
from systolith.prune.search.spaces import ParticleSpace

__all__ = ["SearchProgress", "SearchStage", "run_stages"]


class SearchStage(Protocol):
    """One search: one granularity of one layer, or one group of feature maps."""

    @property
    def name(self) -> str:
        """Layer or group to search."""
        ...

    @property
    def granularity(self) -> str:
        """Units that are kept or dropped."""
        ...

    @property
    def space(self) -> ParticleSpace:
        """Space of the search."""
        ...

    def guess(self, model: nn.Module) -> Tensor:
        """Particle that keeps the largest magnitudes of the current model."""
        ...

    def objective(self, model: nn.Module) -> ParticleLosses:
        """Losses of particles on the current model, with earlier decisions applied."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchProgress(Progress):
    """State of a search, after a stage; `done` and `total` count stages.

    Parameters
    ----------
    name, granularity : str
        Layer or group that has been searched, and what is kept or dropped: ``"conv2"``,
        ``"kernel"``.
    loss : float
        Lowest one found, before retraining.
    history : tuple of float
        Lowest one so far, after each generation.
    evaluations : int
        Masks tried.
    seconds_left : float
        Estimate for the other stages, from the mean of those done in this run.
    """

    name: str
    granularity: str
    loss: float
    history: tuple[float, ...]
    evaluations: int
    seconds_left: float

    @property
    def stage(self) -> int:
        """Finished stages."""
        return round(self.done)

    @property
    def stages(self) -> int:
        """All stages."""
        return round(self.total)


def run_stages(
    model: nn.Module,
    stages: Sequence[SearchStage],
    *,
    search: Search,
    seed: int,
    settle: Callable[[Sequence[Tensor], bool], None],
    report: Callable[[SearchProgress], None] | None,
    save: Callable[[dict[str, Any]], None] | None,
    state: Mapping[str, Any] | None,
) -> list[Tensor]:
    """Run searches one after the other.

    Parameters
    ----------
    model : nn.Module
        Changed only by `settle` and by loading `state`.
    stages : sequence of SearchStage
    search : Search
    seed : int
        SearchStage i searches with ``seed + i``.
    settle : callable
        Applies the particles chosen so far; retrains if the second argument is True, which happens
        once per stage.
    report, save, state
        As for :func:`systolith.prune.prune_by_particles`.

    Returns
    -------
    list of Tensor
        Chosen particle of each stage.

    Raises
    ------
    PruneError
        If the state belongs to a search with other stages.
    """
    titles = [f"{stage.name}: {stage.granularity}" for stage in stages]
    chosen: list[Tensor] = []
    if state is not None:
        if list(state["stages"]) != titles:
            raise PruneError(
                [f"a state must be of the stages {titles}, got one of {list(state['stages'])}"]
            )
        model.load_state_dict(state["model"])
        chosen = [particle.clone() for particle in state["chosen"]]
        settle(chosen, False)
    before, start = len(chosen), monotonic()
    for number in range(before, len(stages)):
        stage = stages[number]
        result = minimize(
            search,
            stage.space,
            stage.objective(model),
            seed=seed + number,
            guess=stage.guess(model),
        )
        assert result.best is not None
        chosen.append(result.best)
        settle(chosen, True)
        left = len(stages) - len(chosen)
        if report is not None:
            report(
                SearchProgress(
                    task="search",
                    done=len(chosen),
                    total=len(stages),
                    text=f"{titles[number]}, loss {result.best_loss:.4g}",
                    name=stage.name,
                    granularity=stage.granularity,
                    loss=result.best_loss,
                    history=tuple(result.history),
                    evaluations=result.evaluations,
                    seconds_left=(monotonic() - start) / (len(chosen) - before) * left,
                )
            )
        if save is not None:
            weights = {name: value.clone() for name, value in model.state_dict().items()}
            save({"stages": titles, "chosen": list(chosen), "model": weights})
    return chosen

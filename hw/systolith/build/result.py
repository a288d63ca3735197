"""What a build made, and which of its results is the best."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from systolith.build.routers import Attempt
from systolith.build.timing import PlacementReport
from systolith.devices import Tool

__all__ = ["BuildResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """Result of :func:`systolith.build.build_bitstream`.

    Attributes
    ----------
    routes : dict of Attempt to PlacementReport
        By seed and router.
    bitstream : Path or None
        Of the fastest; None if none reaches the clock.
    folder : Path
        Holds all files that the tools wrote.
    placer : str
        Placer of all runs.
    unfinished : tuple of Attempt
        Runs that have no result because the time was over.
    programs : mapping of str to Tool
        Those that ran, by name.
    """

    routes: dict[Attempt, PlacementReport]
    bitstream: Path | None
    folder: Path
    placer: str = "heap"
    unfinished: tuple[Attempt, ...] = ()
    programs: Mapping[str, Tool] = field(default_factory=dict)

    @property
    def best_attempt(self) -> Attempt:
        """Seed and router of the fastest; the lowest of equally fast ones."""
        return min(self.routes, key=lambda attempt: (-self.routes[attempt].fmax_mhz, attempt))

    @property
    def best_seed(self) -> int:
        """Seed of the fastest; the lowest of equally fast ones."""
        return self.best_attempt.seed

    @property
    def best(self) -> PlacementReport:
        """Report of the fastest."""
        return self.routes[self.best_attempt]

    @property
    def reports(self) -> dict[int, PlacementReport]:
        """The faster report of each seed that has one."""
        by_clock = sorted(self.routes, key=lambda attempt: self.routes[attempt].fmax_mhz)
        fastest = {attempt.seed: self.routes[attempt] for attempt in by_clock}
        return dict(sorted(fastest.items()))

    @property
    def placement(self) -> Path:
        """File with the cells of the fastest and their sites, as JSON."""
        return self.folder / f"{self.best_attempt.name}.placed.json"

    @property
    def median_mhz(self) -> float:
        """Median clock over the seeds."""
        return statistics.median(report.fmax_mhz for report in self.reports.values())

"""How sure trained masks were after each epoch, kept beside the checkpoint."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from systolith.prune import MaskStatistics
from systolith.stages.workspace import write_json
from systolith.train import Progress, Report

__all__ = ["read_history", "recording"]


@runtime_checkable
class _HasStatistics(Protocol):
    def statistics(self) -> dict[str, MaskStatistics]: ...


def recording(sparsifier: object, report: Report, path: Path) -> Report:
    """Report as before, and if the method has statistics, note them after each epoch."""
    if not isinstance(sparsifier, _HasStatistics):
        return report
    statistics: Callable[[], dict[str, MaskStatistics]] = sparsifier.statistics

    def heard(progress: Progress) -> None:
        if progress.epoch_done:
            earlier = [entry for entry in read_history(path) if entry["epoch"] < progress.epoch]
            layers = {name: asdict(found) for name, found in statistics().items()}
            write_json(path, [*earlier, {"epoch": progress.epoch, "layers": layers}])
        report(progress)

    return heard


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read what was noted; nothing if there is no such file."""
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found

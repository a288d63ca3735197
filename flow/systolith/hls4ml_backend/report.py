"""The report of a build."""

import json
from pathlib import Path
from typing import Any

from systolith.hls4ml_backend.names import REPORT

__all__ = ["read_report"]


def read_report(folder: str | Path) -> dict[str, Any]:
    """Read what the last build of a project found.

    Parameters
    ----------
    folder : str or Path
        ``output_dir`` of the conversion.

    Returns
    -------
    dict
        ``CyclesPerFrame``, ``LatencyCycles`` and ``Multipliers`` of the plan; ``Implementation``
        has part, cells used, clocks, frames per second, the critical path.

    Raises
    ------
    FileNotFoundError
        If nothing was built there.
    """
    path = Path(folder) / REPORT
    if not path.exists():
        raise FileNotFoundError(f"{path}: nothing was built there; call build() first")
    report: dict[str, Any] = json.loads(path.read_text())
    return report

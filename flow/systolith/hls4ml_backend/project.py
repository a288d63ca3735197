"""Registration with hls4ml, file names of a project, its error, and the report of a build."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from systolith.foundation import ProblemsError, listed

__all__ = [
    "CONFIG",
    "CSIMULATION",
    "NAME",
    "NETWORK",
    "REPORT",
    "RTL",
    "SIMULATOR",
    "TENSORS",
    "ConversionError",
    "read_report",
    "register",
]


NAME = "Systolith"
"""Name of the backend; hls4ml ignores the case of letters."""
NETWORK = "network.json"
TENSORS = "tensors.json"
"""Fractional bits and names of the model's tensors."""
CONFIG = "hls4ml_config.yml"
RTL = "rtl"
SIMULATOR = "simulator"
CSIMULATION = "csimulation"
REPORT = "report.json"


class ConversionError(ProblemsError, ValueError):
    """A model or configuration cannot be converted; lists every reason.

    Attributes
    ----------
    problems : tuple of str
        Each names the layer or key, the problem, and the nearest supported alternative.
    """

    def __str__(self) -> str:
        count = len(self.problems)
        return listed(f"{count} problem{'s' if count > 1 else ''}", self.problems)


def read_report(folder: str | Path) -> dict[str, Any]:
    """Read the report of the last build of a project.

    Parameters
    ----------
    folder : str or Path
        ``output_dir`` of the conversion.

    Returns
    -------
    dict
        ``CyclesPerFrame``, ``LatencyCycles`` and ``Multipliers`` of the plan; ``Implementation``
        with part, cells used, clocks, frames per second and critical path.

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


def register(
    register_backend: Callable[[str, Any], None], register_writer: Callable[[str, Any], None]
) -> None:
    """Register writer and backend; the entry point of the group ``hls4ml.backends``."""
    # hls4ml calls this while it is imported, possibly by these imports.
    from systolith.hls4ml_backend.backend import SystolithBackend, SystolithWriter

    register_writer(NAME, SystolithWriter)
    register_backend(NAME, SystolithBackend)

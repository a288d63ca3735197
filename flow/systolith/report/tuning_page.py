"""Stand-in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_tuning_page(study: Mapping[str, Any], path: Path) -> None:
    """Write nothing."""

"""The real data sets, which are too large to come with the tests."""

import os
from pathlib import Path

import pytest

__all__ = ["real_archive"]


def real_archive(name: str) -> Path:
    """Find ``NAME.npz`` in the folder that SYSTOLITH_DATA names, or skip the test."""
    folder = os.environ.get("SYSTOLITH_DATA")
    if folder is None:
        pytest.skip(f"SYSTOLITH_DATA names no folder with {name}.npz")
    path = Path(folder) / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"there is no '{path}'")
    return path

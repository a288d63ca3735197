"""The real data sets and trained weights, which are too large to come with the tests."""

import os
from pathlib import Path

import pytest

__all__ = ["real_archive", "real_tflite", "real_weights"]

SHARED = Path(__file__).parents[3] / "shared" / "data"


def real_archive(name: str) -> Path:
    """Find ``NAME.npz`` in the folder that SYSTOLITH_DATA names, or skip the test."""
    folder = os.environ.get("SYSTOLITH_DATA")
    if folder is None:
        pytest.skip(f"SYSTOLITH_DATA names no folder with {name}.npz")
    path = Path(folder) / f"{name}.npz"
    if not path.is_file():
        pytest.skip(f"there is no '{path}'")
    return path


def real_weights(name: str) -> Path:
    """Find trained weights beside the repository, or skip the test."""
    path = SHARED / "weights" / f"{name}.safetensors"
    if not path.is_file():
        pytest.skip(f"there is no '{path}'")
    return path


def real_tflite(name: str) -> Path:
    """Find an int8 file of MLPerf Tiny beside the repository, or skip the test."""
    path = SHARED / "tflite" / f"{name}.tflite"
    if not path.is_file():
        pytest.skip(f"there is no '{path}'")
    return path

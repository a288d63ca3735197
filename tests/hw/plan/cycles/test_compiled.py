"""Compiled functions, with a cache on disk and without one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from systolith.plan.cycles.compiled import jit

SOURCE = "def double(number):\n    return 2 * number\n"


def _double(path: Path | str) -> Callable[[int], int]:
    names: dict[str, Any] = {"__name__": "double"}
    exec(compile(SOURCE, str(path), "exec"), names)
    function: Callable[[int], int] = names["double"]
    return function


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of Numba's cache."""
    (tmp_path / "double.py").write_text(SOURCE)
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def test_compiled_code_is_kept(folder: Path) -> None:
    assert jit(_double(folder / "double.py"))(21) == 42
    assert {path.suffix for path in (folder / "cache").rglob("*.nb?")} == {".nbi", ".nbc"}


def test_references_to_arrays_are_not_counted() -> None:
    def count(values: NDArray[np.int64]) -> int:
        return len(values)

    assert jit(count)(np.zeros(3, dtype=np.int64)) == 3
    with pytest.raises(numba.core.errors.NumbaError, match="zeros"):
        jit(lambda: np.zeros(3))()


def test_no_folder_that_can_be_written_is_no_obstacle() -> None:
    with pytest.raises(RuntimeError, match="cannot cache function"):
        numba.njit(cache=True)(_double("<nowhere>"))
    assert jit(_double("<nowhere>"))(21) == 42


def test_a_full_disk_is_no_obstacle(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function = jit(_double(folder / "double.py"))

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.caching.IndexDataCacheFile.save", full)
    assert function(21) == 42
    assert not list((folder / "cache").rglob("*.nb?"))

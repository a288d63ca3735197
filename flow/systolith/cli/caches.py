"""The folder in which libraries cache compiled code: the user's cache, or a temporary one."""

import os
from pathlib import Path

from platformdirs import user_cache_path

from systolith.foundation import spare_folder

__all__ = ["VARIABLE", "is_writable", "provide_caches"]

VARIABLE = "XDG_CACHE_HOME"
"""Numba, YoWASP, matplotlib and the cache of simulators read this variable."""
PLOTTING = "MPLCONFIGDIR"


def provide_caches() -> None:
    """Use a temporary folder for caches if the user's cannot be written.

    Containers often run without a home. Nothing is lost then but time, at most once per container.
    """
    if is_writable(user_cache_path()):
        return
    folder = spare_folder()
    if folder is not None:
        os.environ[VARIABLE] = str(folder)
        os.environ.setdefault(PLOTTING, str(folder / "matplotlib"))


def is_writable(folder: Path) -> bool:
    """Whether a folder can be written; it is made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)

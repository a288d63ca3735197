"""Where libraries keep what they compile: in the user's cache, or elsewhere if there is none."""

import os
from pathlib import Path

from platformdirs import user_cache_path

from systolith.foundation import spare_folder

__all__ = ["VARIABLE", "is_writable", "provide_caches"]

VARIABLE = "XDG_CACHE_HOME"
"""Numba, YoWASP, matplotlib and our own cache of simulators look here."""
PLOTTING = "MPLCONFIGDIR"


def provide_caches() -> None:
    """Let caches be in the folder for temporary files if the user's cannot be written.

    Containers often run without a home. Nothing is lost then but time, at most once per container.
    """
    if is_writable(user_cache_path()):
        return
    folder = spare_folder()
    if folder is not None:
        os.environ[VARIABLE] = str(folder)
        os.environ.setdefault(PLOTTING, str(folder / "matplotlib"))


def is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)

"""Build once: folders keyed by content, safe when several processes want the same one."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

__all__ = ["CACHE_VARIABLE", "breaks_make", "built_once", "content_key", "shared_folder"]

MANIFEST = "manifest.json"
SCRATCH_LETTERS = 8
"""That tempfile ends names of folders with."""
PLAIN = re.compile(r"[\w./+,@=-]*")
CACHE_VARIABLE = "SYSTOLITH_CACHE"
"""Environment variable that names the folder of what a user's designs share."""


def breaks_make(path: Path) -> bool:
    """Whether make cannot build there: it splits paths at blanks, and reads $, #, %, : and others.

    >>> [breaks_make(Path(path)) for path in ("/home/me/out-1", "/home/me/my out", "/home/me/#1")]
    [False, True, True]
    """
    return PLAIN.fullmatch(str(path)) is None


def shared_folder(otherwise: Path) -> Path:
    """Find the folder for what is the same for all designs.

    It is the one named by ``SYSTOLITH_CACHE``, or ``systolith`` where the system keeps caches of
    users.

    Parameters
    ----------
    otherwise : Path
        Taken if that folder cannot be written, or make cannot build there.
    """
    folder = Path(os.environ.get(CACHE_VARIABLE) or user_cache_path("systolith")).absolute()
    if breaks_make(folder):
        return otherwise
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return otherwise
    return folder if os.access(folder, os.W_OK) else otherwise


def content_key(parts: Iterable[str | Path]) -> str:
    """Hash texts, and files by what is in them."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:20]


def built_once(folder: Path, build: Callable[[Path], None], keep: tuple[str, ...]) -> bool:
    """Make sure that `folder` holds what `build` makes.

    A folder is complete when its manifest is there and every kept file has the size and hash noted
    in it; anything else is built anew. The build happens in a temporary folder which is renamed, so
    that no reader ever sees half of it; a second process waits for the first. What a killed build
    left is removed.

    Parameters
    ----------
    folder : Path
        Where the result lies. Its name should contain a :func:`content_key`.
    build : callable
        Called with an empty folder, unless there is a result already.
    keep : tuple of str
        Names of the files to keep; the rest of what `build` writes is dropped.

    Returns
    -------
    bool
        Whether `build` was called.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if _complete(folder, keep):
        return False
    with _locked(folder.with_name(f".{folder.name}.lock")):
        if _complete(folder, keep):
            return False
        _remove_killed(folder)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
            work, result = Path(scratch) / "work", Path(scratch) / "result"
            work.mkdir()
            result.mkdir()
            build(work)
            for name in keep:
                (work / name).rename(result / name)
            manifest = {name: _digest(result / name) for name in keep}
            (result / MANIFEST).write_text(json.dumps(manifest))
            if folder.exists():
                folder.rename(Path(scratch) / "incomplete")
            result.rename(folder)
    return True


def _remove_killed(folder: Path) -> None:
    """Remove temporary folders of earlier builds. None is in use, as the lock is held."""
    for scratch in folder.parent.glob(f".{escape(folder.name)}.{'?' * SCRATCH_LETTERS}"):
        shutil.rmtree(scratch, ignore_errors=True)


def _complete(folder: Path, keep: tuple[str, ...]) -> bool:
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
        return manifest == {name: _digest(folder / name) for name in keep}
    except (OSError, ValueError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the system releases it when the process ends, however it ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

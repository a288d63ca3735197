"""Compile once: folders keyed by content, shared safely between processes."""

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

__all__ = ["CACHE_VARIABLE", "breaks_make", "compile_once", "content_key", "shared_folder"]

MANIFEST = "manifest.json"
SCRATCH_LETTERS = 8
"""Length of the random suffix of :mod:`tempfile`."""
PLAIN = re.compile(r"[\w./+,@=-]*")
CACHE_VARIABLE = "SYSTOLITH_CACHE"
"""Environment variable with the folder that all designs of a user share."""


def breaks_make(path: Path) -> bool:
    """Whether make cannot run in a folder: it splits paths at blanks and interprets $, #, % and :.

    >>> [breaks_make(Path(path)) for path in ("/home/me/out-1", "/home/me/my out", "/home/me/#1")]
    [False, True, True]
    """
    return PLAIN.fullmatch(str(path)) is None


def shared_folder(otherwise: Path) -> Path:
    """Find the folder for files that all designs share.

    It is named by ``SYSTOLITH_CACHE``; the default is ``systolith`` in the user's cache folder.

    Parameters
    ----------
    otherwise : Path
        Returned if that folder is not writable or make cannot run in it.
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
    """Hash texts and the contents of files."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()[:20]


def compile_once(folder: Path, make: Callable[[Path], None], keep: tuple[str, ...]) -> bool:
    """Ensure that `folder` holds the files that `make` writes.

    A folder is complete if it has a manifest and every kept file has the hash noted in the
    manifest; anything else is made again. `make` works in a temporary folder, which is renamed when
    complete: no reader sees a partial result, and a second process waits for the first. Remains of
    killed processes are removed.

    Parameters
    ----------
    folder : Path
        Folder of the result. Its name should contain a :func:`content_key`.
    make : callable
        Called with an empty folder, unless the result exists.
    keep : tuple of str
        Names of the files to keep; other files that `make` writes are dropped.

    Returns
    -------
    bool
        Whether `make` was called.
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
            make(work)
            for name in keep:
                (work / name).rename(result / name)
            manifest = {name: _digest(result / name) for name in keep}
            (result / MANIFEST).write_text(json.dumps(manifest))
            if folder.exists():
                folder.rename(Path(scratch) / "incomplete")
            result.rename(folder)
    return True


def _remove_killed(folder: Path) -> None:
    """Remove temporary folders of earlier processes. None is in use, because the lock is held."""
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

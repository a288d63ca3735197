"""Atomic file writes, and a folder for caches without a home."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing", "spare_folder", "write_json", "write_text"]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; when the block succeeds, that file replaces `path`.

    The temporary name keeps the suffix of `path`, because some writers choose a format by it, and
    holds the process number, so that two processes do not share it.

    If the block fails, because the disk is full or the work is interrupted, `path` stays as it was
    and no temporary file remains.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "report.json") as temporary:
    ...         _ = temporary.write_text("{}")
    ...     [file.name for file in Path(folder).iterdir()]
    ['report.json']
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def spare_folder() -> Path | None:
    """Make a folder for this user's caches among the temporary files; None if that is unsafe.

    Programs run code from it, so a folder that another user owns or can write to is refused.
    """
    folder = Path(tempfile.gettempdir()) / f"systolith-cache-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    return folder if status.st_uid == os.getuid() and not status.st_mode & 0o022 else None


def write_json(path: Path, content: object) -> None:
    """Write a JSON file atomically; its folder is made if it is missing."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically; its folder is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_text(text)

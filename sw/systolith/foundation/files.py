"""Files that are written whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["replacing"]


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

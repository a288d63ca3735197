"""Warnings of systolith on the command line: one line each, without the place in its code."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from systolith.cli.terminal import write_line

__all__ = ["printing_warnings"]


@contextmanager
def printing_warnings() -> Iterator[None]:
    """Print each warning of systolith once on standard error while the block runs.

    Warnings of other libraries are shown as usual, with their place.
    """
    printed: set[str] = set()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        text = str(message)
        if category is not UserWarning or "systolith" not in Path(filename).parts:
            as_usual(message, category, filename, lineno, file, line)
        elif text not in printed:
            printed.add(text)
            write_line(f"warning: {text}")

    with warnings.catch_warnings():
        as_usual = warnings.showwarning
        warnings.showwarning = show
        yield

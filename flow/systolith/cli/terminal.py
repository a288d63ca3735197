"""Where commands print: results on standard output, everything else on standard error."""

import os
import sys
from typing import NoReturn, TextIO

from rich.console import Console

__all__ = ["FILE_WIDTH", "Terminal", "err", "out", "width_of"]

FILE_WIDTH = 160
"""Columns of what goes into a file or a pipe, unless COLUMNS says another number."""


class Terminal(Console):
    """A console that lets the command end when its reader has left, as in ``| head``."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise BrokenPipeError again."""
        raise


def width_of(stream: TextIO | None) -> int | None:
    """Columns of what is printed; None is what rich finds out: the terminal's, or COLUMNS."""
    in_terminal = stream is not None and stream.isatty()
    return None if in_terminal or "COLUMNS" in os.environ else FILE_WIDTH


out = Terminal(width=width_of(sys.stdout))
err = Terminal(width=width_of(sys.stderr), stderr=True)

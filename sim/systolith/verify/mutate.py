"""Break a design on purpose, to see that a check can fail."""

import re
from dataclasses import dataclass
from pathlib import Path

from systolith.build import Design

__all__ = ["MemoryInit", "flip_memory_bit", "memories", "substitute"]

NAME = r"(?:\\\S+|[A-Za-z_][\w$]*)"
MODULE = re.compile(rf"^\s*module\s+({NAME})", re.MULTILINE)
MEMORY = re.compile(
    rf"^\s*reg\s+(?:signed\s+)?\[(\d+):(\d+)\]\s*({NAME})\s*\[\d+:\d+\]\s*;", re.MULTILINE
)
ONE_BIT_MEMORY = re.compile(rf"^\s*reg\s+({NAME})\s*\[\d+:\d+\]\s*;", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryInit:
    """One memory with initial contents in the Verilog of a design.

    Parameters
    ----------
    source : Path
        File in which it stands.
    module, name : str
        Verilog names, without escapes.
    width : int
        Bits per word.
    depth : int
        Words with an initial value.
    """

    source: Path
    module: str
    name: str
    width: int
    depth: int


def memories(design: Design) -> tuple[MemoryInit, ...]:
    """List the initialized memories of a design in the order of its files."""
    raise NotImplementedError


def flip_memory_bit(
    design: Design, folder: Path, memory: MemoryInit, *, word: int, bit: int
) -> Design:
    """Copy a design with one bit of one initial memory word inverted.

    Parameters
    ----------
    design : Design
        Stays as it is.
    folder : Path
        For the copy; created, and must not hold a file of the same name.
    memory : MemoryInit
        One of :func:`memories`.
    word : int
        0..depth-1.
    bit : int
        0..width-1.

    Raises
    ------
    ValueError
        If there is no such word or bit.
    """
    raise NotImplementedError


def substitute(design: Design, folder: Path, pattern: str, replacement: str) -> Design:
    r"""Copy a design with one textual change.

    Parameters
    ----------
    design : Design
        Stays as it is.
    folder : Path
        For the copy; created.
    pattern : str
        Regular expression that matches exactly once over all sources.
    replacement : str
        May refer to groups of the pattern, as in ``re.sub``.

    Raises
    ------
    ValueError
        If the pattern matches never or more than once, or nothing would change.
    """
    raise NotImplementedError

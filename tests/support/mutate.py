"""Break a design on purpose, to test that a check can fail."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from systolith.emit import Design

__all__ = ["MemoryInit", "flip_memory_bit", "list_memories", "substitute"]

NAME = r"(?:\\\S+|[A-Za-z_][\w$]*)"
LINE = re.compile(
    rf"^\s*(?:module\s+(?P<module>{NAME})"
    rf"|(?P<memory>{NAME})\s*\[(?P<word>\d+)\] = (?P<width>\d+)'h(?P<value>[0-9a-f]+);)",
    re.MULTILINE,
)
"""A module begins, or one word of a memory is initialized, as yosys writes it."""


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


def list_memories(design: Design) -> tuple[MemoryInit, ...]:
    """List the initialized memories of a design in the order of its files."""
    inits: dict[tuple[Path, str, str], MemoryInit] = {}
    for source in design.sources:
        for module, word in _words(source.read_text()):
            name = word["memory"].removeprefix("\\")
            depth = int(word["word"]) + 1
            known = inits.get((source, module, name))
            inits[source, module, name] = MemoryInit(
                source=source,
                module=module,
                name=name,
                width=int(word["width"]),
                depth=max(depth, known.depth if known else 0),
            )
    return tuple(inits.values())


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
        One of :func:`list_memories`.
    word : int
        0..depth-1.
    bit : int
        0..width-1.

    Raises
    ------
    ValueError
        If there is no such word or bit.
    """
    if not 0 <= bit < memory.width:
        raise ValueError(f"memory '{memory.name}' has bits 0..{memory.width - 1}, got bit {bit}")
    text = memory.source.read_text()
    wanted = (memory.module, memory.name, word)
    for module, match in _words(text):
        if (module, match["memory"].removeprefix("\\"), int(match["word"])) == wanted:
            digits = len(match["value"])
            value = f"{int(match['value'], 16) ^ 1 << bit:0{digits}x}"
            changed = text[: match.start("value")] + value + text[match.end("value") :]
            return _copy(design, folder, {memory.source: changed})
    raise ValueError(
        f"memory '{memory.name}' of module '{memory.module}' has words 0..{memory.depth - 1}, "
        f"got word {word}"
    )


def substitute(design: Design, folder: Path, pattern: str, replacement: str) -> Design:
    r"""Copy a design with one textual change.

    Parameters
    ----------
    design : Design
        Stays as it is.
    folder : Path
        For the copy; created, and must not hold a file of the same name.
    pattern : str
        Regular expression, ``^`` and ``$`` meaning lines, that matches once over all sources.
    replacement : str
        May refer to groups of the pattern, as in ``re.sub``.

    Raises
    ------
    ValueError
        If the pattern matches never or more than once, or nothing would change.
    """
    expression = re.compile(pattern, re.MULTILINE)
    texts = {source: source.read_text() for source in design.sources}
    counts = {source: len(expression.findall(text)) for source, text in texts.items()}
    if sum(counts.values()) != 1:
        raise ValueError(
            f"the pattern must match exactly once in the sources of '{design.top}', but "
            f"r'{pattern}' matches {sum(counts.values())} times"
        )
    changed = {s: expression.sub(replacement, texts[s]) for s, count in counts.items() if count}
    if all(texts[source] == text for source, text in changed.items()):
        raise ValueError(f"replacing r'{pattern}' by '{replacement}' changes nothing")
    return _copy(design, folder, changed)


def _words(text: str) -> Iterator[tuple[str, re.Match[str]]]:
    """All initialized memory words, with the name of the module in which they stand."""
    module = ""
    for match in LINE.finditer(text):
        if match["module"]:
            module = match["module"].removeprefix("\\")
        else:
            yield module, match


def _copy(design: Design, folder: Path, changed: Mapping[Path, str]) -> Design:
    """Write all sources into `folder`, some of them with another text."""
    names = [source.name for source in design.sources]
    if len(set(names)) != len(names):
        raise ValueError(f"the sources of '{design.top}' must have distinct names, got {names}")
    folder.mkdir(parents=True, exist_ok=True)
    for source in design.sources:
        with (folder / source.name).open("x") as file:
            file.write(changed[source] if source in changed else source.read_text())
    return replace(design, sources=tuple(folder / name for name in names))

"""Plain English: phrases that make a reader stop, in docstrings, messages, comments and pages."""

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLAIN = {
    r"but for": "except for",
    r"found again": "cached, or detected again",
    r"hears?": "is called with",
    r"(is|are|has|have) but": "only",
    r"of use to": "has a use",
    r"so many(?! \w+er\b| more\b)": "the number",
    r"told": "reported",
}
"""Phrase, as a regular expression, and what to write instead."""
PHRASES = re.compile("|".join(rf"\b(?:{phrase})\b" for phrase in PLAIN), re.IGNORECASE)
FOLDERS = ("sw", "hw", "sim", "flow", "tests", "benchmarks", "docs", "examples")
SOURCES = [
    path
    for folder in FOLDERS
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path != Path(__file__).resolve()
]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*.md"))]


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number and text of each line, of Python strings and comments only."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        yield from enumerate(source.splitlines(), 1)
        return
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            yield from enumerate(token.string.splitlines(), token.start[0])


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=lambda p: str(p.relative_to(ROOT)))
def test_says_it_plainly(path: Path) -> None:
    unclear = [f"{path.name}:{line}: {text}" for line, text in _texts(path) if PHRASES.search(text)]
    assert not unclear, "\n".join([*unclear, f"write instead: {PLAIN}"])


@pytest.mark.parametrize(
    "text", ["At most so many.", "all is told at once", "It hears of progress.", "clean but for X"]
)
def test_the_check_can_fail(text: str) -> None:
    assert PHRASES.search(text)


@pytest.mark.parametrize("text", ["so many more cases fit", "but forty-two", "None of which is."])
def test_the_check_lets_plain_words_pass(text: str) -> None:
    assert not PHRASES.search(text)

"""Pieces of an HTML page; all text that comes in is escaped."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

__all__ = ["Bar", "bars", "facts", "figure", "number", "section", "table", "tile", "track"]


def number(value: float, text: str) -> str:
    """Format a number as text for people, with its exact value for programs that read the page."""
    return f'<data value="{value!r}">{escape(text)}</data>'


def track(share: float, kind: str = "") -> str:
    """Draw a bar that is filled to a share of its width, 0..1."""
    width = 100 * min(max(share, 0.0), 1.0)
    return f'<div class="bar {kind}" aria-hidden="true"><i style="width:{width:.2f}%"></i></div>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A labelled bar.

    Attributes
    ----------
    label : str
        Text.
    share : float or None
        Filled share, 0..1; None draws no bar.
    value : str
        HTML to the right of the bar.
    note : str
        Text below the label.
    kind : str
        CSS class of the colour.
    """

    label: str
    share: float | None
    value: str
    note: str = ""
    kind: str = ""


def bars(rows: Iterable[Bar]) -> str:
    """Format bars as a list, each with its label, note and value."""
    lines = []
    for row in rows:
        note = f"<br><small>{escape(row.note)}</small>" if row.note else ""
        lines.append(
            f"<div><dt>{escape(row.label)}{note}</dt>"
            f'<dd class="track">{"" if row.share is None else track(row.share, row.kind)}</dd>'
            f'<dd class="value">{row.value}</dd></div>'
        )
    return f'<dl class="bars">{"".join(lines)}</dl>'


def section(name: str, title: str, *parts: str) -> str:
    """Make a section; empty if it has no parts."""
    content = "".join(parts)
    if not content:
        return ""
    return f'<section id="{name}"><h2>{escape(title)}</h2>{content}</section>'


def tile(label: str, value: str, note: str) -> str:
    """Make a tile with one result; `value` is HTML."""
    return (
        f'<div class="tile"><dt>{escape(label)}</dt><dd class="big">{value}</dd>'
        f'<dd class="small">{escape(note)}</dd></div>'
    )


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """List names and values; values are HTML."""
    lines = (f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in rows)
    return f'<dl class="facts">{"".join(lines)}</dl>'


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Iterable[int] = (),
    footer: Sequence[str] = (),
) -> str:
    """Make a table that scrolls by itself where it is too wide.

    Parameters
    ----------
    headers : sequence of str
        Text.
    rows : iterable of sequence of str
        Cells as HTML.
    numbers : iterable of int
        Columns that are aligned to the right.
    footer : sequence of str
        Cells as HTML.
    """
    right = set(numbers)

    def cells(values: Sequence[str], tag: str) -> str:
        kinds = (' class="number"' if place in right else "" for place in range(len(values)))
        return "".join(
            f"<{tag}{kind}>{value}</{tag}>" for kind, value in zip(kinds, values, strict=True)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    foot = f"<tfoot><tr>{cells(footer, 'td')}</tr></tfoot>" if footer else ""
    head = cells([escape(header) for header in headers], "th")
    return (
        '<div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{foot}</table></div>"
    )


def figure(picture: Path, description: str, caption: str = "") -> str:
    """Embed a PNG picture; the description is for those who do not see it."""
    data = b64encode(picture.read_bytes()).decode()
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(description)}">'
    return f"<figure>{image}{below}</figure>"

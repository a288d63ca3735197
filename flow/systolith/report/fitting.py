"""Tables that leave out columns in narrow terminals and never cut a number."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

__all__ = ["FittedTable"]

LEAST_TEXT = 12
"""Narrowest width of a wrapped text, in characters."""
BEYOND = 10_000
"""Width of an unlimited terminal."""


@dataclass(kw_only=True, eq=False)
class _Column:
    header: str
    name: str
    footer: str
    rank: int
    wraps: bool
    options: dict[str, Any]
    cells: list[RenderableType] = field(default_factory=list)

    @property
    def is_name(self) -> bool:
        """Whether the cells are names, not numbers."""
        return self.options.get("justify") != "right"

    @property
    def least(self) -> int:
        """Narrowest width of the wrapped cells."""
        texts = (self.header, self.footer, *self.cells)
        lines = [line for text in texts for line in _plain(text).splitlines()]
        return min(LEAST_TEXT, max(map(cell_len, lines), default=0))


def _plain(cell: RenderableType) -> str:
    return Text.from_markup(cell).plain if isinstance(cell, str) else str(cell)


class FittedTable:
    """A table that fits its console.

    If the table is too wide, columns are left out, those of the highest rank first, and listed in
    the caption. Texts are wrapped. Names are wrapped only if nothing else helps, numbers never.

    Parameters
    ----------
    title : str
    caption : str, optional
        Text below the table.
    **options
        Options of :class:`rich.table.Table`.
    """

    def __init__(self, title: str = "", *, caption: str = "", **options: Any) -> None:
        self.title, self.caption, self.options = title, caption, options
        self.columns: list[_Column] = []
        self.styles: list[str | None] = []

    def add_column(
        self,
        header: str,
        footer: str = "",
        *,
        rank: int = 0,
        wraps: bool = False,
        name: str | None = None,
        **options: Any,
    ) -> None:
        """Add a column.

        Parameters
        ----------
        header, footer : str
        rank : int
            Columns of the highest rank are left out first. Rank 0 always stays.
        wraps : bool
            Whether the cells may be wrapped.
        name : str, optional
            Name in the caption, by default the header.
        **options
            Options of :meth:`rich.table.Table.add_column`.
        """
        self.columns.append(
            _Column(
                header=header,
                name=name or " ".join(header.replace("-\n", "").split()),
                footer=footer,
                rank=rank,
                wraps=wraps,
                options=options,
            )
        )

    def add_row(self, *cells: RenderableType, style: str | None = None) -> None:
        """Add a row with a cell for each column."""
        for column, cell in zip(self.columns, cells, strict=True):
            column.cells.append(cell)
        self.styles.append(style)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the columns that fit."""
        yield self._fit(console, options)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Measure the columns that fit."""
        return Measurement.get(console, options, self._fit(console, options))

    def _fit(self, console: Console, options: ConsoleOptions) -> Table:
        for shown in self._choices():
            table = self._table(shown)
            narrow = self._table(shown, least=True)
            unlimited = options.update(max_width=BEYOND)
            if Measurement.get(console, unlimited, narrow).maximum <= options.max_width:
                return table
        return self._table(shown, fold=True)

    def _choices(self) -> Iterator[list[_Column]]:
        """Yield all columns, then fewer and fewer."""
        shown = list(self.columns)
        yield shown
        for rank in sorted({column.rank for column in shown if column.rank}, reverse=True):
            shown = [column for column in shown if column.rank != rank]
            yield shown

    def _table(self, shown: Sequence[_Column], *, least: bool = False, fold: bool = False) -> Table:
        """Make a table of some columns.

        `least` makes texts as narrow as possible, to measure them; `fold` wraps names, too.
        """
        title = None if least else self.title or None
        caption = None if least else self._caption(shown)
        table = Table(
            title=title, caption=caption, title_justify="left", caption_justify="left",
            **self.options,
        )  # fmt: skip
        for column in shown:
            table.add_column(
                column.header,
                column.footer,
                no_wrap=not column.wraps and not (fold and column.is_name),
                overflow="fold",
                max_width=column.least if least and column.wraps else None,
                min_width=column.least if column.wraps and not least and not fold else None,
                **column.options,
            )
        for number, style in enumerate(self.styles):
            table.add_row(*(column.cells[number] for column in shown), style=style)
        return table

    def _caption(self, shown: Sequence[_Column]) -> Text | None:
        left = dict.fromkeys(column.name for column in self.columns if column not in shown)
        parts = [self.caption] if self.caption else []
        if left:
            parts.append(f"no room for: {', '.join(left)}")
        return Text("\n".join(parts)) if parts else None

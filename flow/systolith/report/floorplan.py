"""A picture of a placed design: the place and resources of each engine, and the critical path."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from systolith.build import OTHER, CellCounts, CriticalPath, Placement, Site
from systolith.foundation import replacing

__all__ = ["draw_floorplan"]

COLOURS = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2"),
    *("#b07aa1", "#edc948", "#9c755f", "#ff9da7", "#86bc25"),
)
"""Colours of engines, those with most LUTs first; all others share REST."""
REST, EMPTY, INK = "#8c8c8c", "#f4f4f2", "#1a1a1a"
RESOURCES = {
    "luts": "LUTs",
    "flip_flops": "flip-flops",
    "dsps": "DSPs",
    "block_rams": "block RAMs",
}
WIDE = {Site.DSP: 0.8, Site.BLOCK_RAM: 1.6}
"""Width of the mark of a cell, in tiles."""
DPI = 110


@dataclass(frozen=True, kw_only=True)
class EngineColour:
    """A colour, its engine or engines, and their resources."""

    label: str
    colour: str
    counts: CellCounts


def draw_floorplan(
    placement: Placement,
    path: CriticalPath | None,
    available: CellCounts,
    title: str,
    files: Sequence[Path],
) -> None:
    """Draw the place of each engine's cells, and their share of the device.

    A tile is as full as it has cells. DSPs and block RAMs have marks of their own.

    Parameters
    ----------
    placement : Placement
    path : CriticalPath or None
        Drawn as a line from tile to tile.
    available : CellCounts
        Resources of the device.
    title : str
    files : sequence of Path
        The pictures; their suffixes select the formats.
    """
    groups = _assign_colours(placement.counts)
    columns, rows = placement.size
    figure = Figure(figsize=(15.5, 1.5 + 8.2 * rows / columns), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=[1.25, 1])
    left, right = halves
    figure.suptitle(title, x=0.01, ha="left", fontsize=13)
    _draw_tiles(left.subplots(), placement, groups, path)
    _draw_bars(right, list(dict.fromkeys(groups.values())), available)
    FigureCanvasAgg(figure)
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if file.suffix == ".svg" else {}
        with replacing(file) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata=metadata)


def _assign_colours(counts: Mapping[str, CellCounts]) -> dict[str, EngineColour]:
    """Assign a colour to each engine."""
    engines = [name for name in counts if name != OTHER]
    shown, rest = engines[: len(COLOURS)], engines[len(COLOURS) :]
    groups = {
        name: EngineColour(label=name, colour=colour, counts=counts[name])
        for name, colour in zip(shown, COLOURS, strict=False)
    }
    small = [*rest, *(name for name in counts if name == OTHER)]
    label = f"{len(rest)} others" if rest else OTHER
    together = EngineColour(label=label, colour=REST, counts=_total(counts[name] for name in small))
    return groups | dict.fromkeys([*small, OTHER], together)


def _draw_tiles(
    axes: Any,
    placement: Placement,
    groups: Mapping[str, EngineColour],
    path: CriticalPath | None,
) -> None:
    """Draw each tile as a square of small squares, one for each logic cell."""
    columns, rows = placement.size
    inside: dict[tuple[int, int], list[str]] = defaultdict(list)
    for cell in placement.cells:
        if cell.site is Site.LOGIC:
            inside[cell.x, cell.y].append(groups.get(cell.engine, groups[OTHER]).colour)
    side = ceil(sqrt(max(map(len, inside.values()), default=1)))
    image = np.ones((rows, columns, side * side, 3)) * to_rgb(EMPTY)
    for (x, y), colours in inside.items():
        for number, colour in enumerate(sorted(colours)):
            image[y, x, number] = to_rgb(colour)
    pixels = image.reshape(rows, columns, side, side, 3).transpose(0, 2, 1, 3, 4)
    axes.imshow(
        pixels.reshape(rows * side, columns * side, 3),
        extent=(-0.5, columns - 0.5, rows - 0.5, -0.5),
        interpolation="nearest",
    )
    for cell in placement.cells:
        if cell.site in WIDE:
            wide = WIDE[cell.site]
            colour = groups.get(cell.engine, groups[OTHER]).colour
            corner = (cell.x - wide / 2, cell.y - 0.4)
            axes.add_patch(Rectangle(corner, wide, 0.8, facecolor=colour, edgecolor=INK, lw=0.7))
    pins = [(cell.x, cell.y) for cell in placement.cells if cell.site is Site.PIN]
    if pins:
        axes.scatter(*zip(*pins, strict=True), marker=".", s=14, color=INK, zorder=2)
    marks = [
        Rectangle((0, 0), 1, 1, facecolor="white", edgecolor=INK, lw=0.7, label="DSP (square)"),
        Rectangle((0, 0), 1, 1, facecolor="white", edgecolor=INK, lw=0.7, label="block RAM (wide)"),
        Line2D([], [], marker=".", color=INK, ls="", label="pin"),
    ]
    if path is not None and path.tiles:
        halo = [withStroke(linewidth=3.6, foreground="white")]
        xs, ys = zip(*path.tiles, strict=True)
        axes.plot(xs, ys, color=INK, lw=1.6, path_effects=halo, zorder=4)
        axes.plot(xs[0], ys[0], "o", color="white", mec=INK, mew=1.4, ms=7, zorder=5)
        axes.plot(xs[-1], ys[-1], "s", color="white", mec=INK, mew=1.4, ms=7, zorder=5)
        label = f"critical path, {path.delay_ns:.1f} ns (from circle to square)"
        marks.append(Line2D([], [], color=INK, lw=1.6, label=label))
    axes.figure.legend(handles=marks, ncols=len(marks), loc="outside lower left", frameon=False)
    axes.set_xlim(-1, columns)
    axes.set_ylim(rows, -1)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_bars(figure: Any, groups: Sequence[EngineColour], available: CellCounts) -> None:
    """Draw one row of bars for each engine; the rows are the legend of the colours, too."""
    positions = np.arange(len(groups))
    panels = figure.subplots(1, len(RESOURCES), sharey=True)
    for axes, (kind, label) in zip(panels, RESOURCES.items(), strict=True):
        values = [getattr(group.counts, kind) for group in groups]
        whole = max(getattr(available, kind), 1)
        axes.barh(positions, values, color=[group.colour for group in groups], height=0.7)
        for position, value in zip(positions, values, strict=True):
            if value:
                axes.text(value, position, f" {value:,}", va="center", fontsize=9)
        axes.set_title(f"{label}\n{sum(values):,} of {whole:,}\n{sum(values) / whole:.0%}",
                       fontsize=10)  # fmt: skip
        axes.set_xlim(0, 1.5 * max(*values, 1))
        axes.set_xticks([])
        axes.spines[["top", "right", "bottom"]].set_visible(False)
    panels[0].set_yticks(positions, [group.label for group in groups], fontsize=10)
    panels[0].invert_yaxis()
    for axes in panels:
        axes.tick_params(axis="y", length=0)


def _total(counts: Any) -> CellCounts:
    return sum(counts, start=CellCounts())

"""Pictures of the weights and filters that pruning kept."""

from collections.abc import Mapping, Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from systolith.foundation import replacing
from systolith.network import BoolArray, KOutOfN, Pattern

__all__ = ["draw_density", "draw_filters", "draw_mask", "draw_statistics", "mask_image"]

KEPT, PRUNED = "#0b5394", "#f2ede4"
STATISTICS = {
    "moved": "moved: share of the kept weights\nthat were not kept at the start",
    "confidence": "confidence",
    "diversity": "diversity",
}
"""Titles of the statistics of masks over training."""
LARGEST_CELLS = 400
"""Largest number of weights along a side; of larger matrices, the upper left corner is shown."""


def mask_image(mask: BoolArray) -> BoolArray:
    """Lay a mask out as the lowered weight matrix.

    Parameters
    ----------
    mask : array of bool, shape (F, C, Kh, Kw) or (O, I)

    Returns
    -------
    array of bool, shape (F, Kh*Kw*C)
        Columns are ordered by tap, then by channel, so that groups of channels are neighbours.
    """
    if mask.ndim == 2:
        return mask
    filters = len(mask)
    return mask.reshape(filters, mask.shape[1], -1).transpose(0, 2, 1).reshape(filters, -1)


def draw_mask(name: str, mask: BoolArray, pattern: Pattern, path: Path) -> None:
    """Draw one layer: the mask, and the share of filters that read each input.

    Parameters
    ----------
    name : str
        Name of the layer.
    mask : array of bool, shape (F, C, Kh, Kw) or (O, I)
    pattern : Pattern
    path : Path
        The picture; its suffix selects the format.
    """
    image = mask_image(mask)
    shown = image[:LARGEST_CELLS, :LARGEST_CELLS]
    rows, columns = shown.shape
    figure = Figure(figsize=(10, min(2.6 + 5 * rows / columns, 9)), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=[4, 1], sharex=False)
    top.imshow(
        shown,
        aspect="auto",
        interpolation="nearest",
        cmap=ListedColormap([PRUNED, KEPT]),
        vmin=0,
        vmax=1,
    )
    channels = mask.shape[1]
    _group_lines(top, pattern, channels, columns)
    is_whole = shown.shape == image.shape
    cut = "" if is_whole else f", upper left corner of {image.shape[0]} x {image.shape[1]}"
    top.set_title(f"{name}: {pattern}, {mask.mean():.1%} kept{cut}", loc="left")
    top.set_xlabel("taps, and the input channels of each tap" if mask.ndim == 4 else "input")
    top.set_ylabel("filter")
    reading = mask.reshape(len(mask), channels, -1).mean(axis=(0, 2))
    bottom.bar(np.arange(channels), reading, width=1.0, color=KEPT)
    bottom.set_xlim(-0.5, channels - 0.5)
    bottom.set_ylim(0, 1)
    bottom.set_xlabel("input channel" if mask.ndim == 4 else "input")
    bottom.set_ylabel("share kept")
    _write(figure, path)


def draw_density(kept: Mapping[str, tuple[int, int]], path: Path) -> None:
    """Draw the number of weights that each layer keeps as bars.

    Parameters
    ----------
    kept : mapping of str to (int, int)
        Weights kept, and weights before pruning, by layer.
    path : Path
    """
    names = list(kept)
    figure = Figure(figsize=(8, 1.6 + 0.3 * len(names)), layout="constrained")
    axes = figure.subplots()
    positions = np.arange(len(names))
    axes.barh(positions, [total for _, total in kept.values()], color=PRUNED, edgecolor="#999999")
    axes.barh(positions, [some for some, _ in kept.values()], color=KEPT)
    for position, (left, total) in enumerate(kept.values()):
        axes.text(total, position, f"  {left / total:.0%}", va="center", fontsize=8)
    axes.set_yticks(positions, names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    whole, all_kept = sum(t for _, t in kept.values()), sum(s for s, _ in kept.values())
    axes.set_title(f"{all_kept:,} of {whole:,} weights kept ({all_kept / whole:.1%})", loc="left")
    axes.set_xlabel("weights")
    _write(figure, path)


def draw_filters(kept: Mapping[str, tuple[int, int]], path: Path) -> None:
    """Draw the number of filters that each group keeps as bars; see :func:`draw_density`."""
    figure = Figure(figsize=(max(5, 1 + 0.45 * len(kept)), 4), layout="constrained")
    axes = figure.subplots()
    positions = np.arange(len(kept))
    axes.bar(positions, [total for _, total in kept.values()], color=PRUNED, edgecolor="#999999")
    axes.bar(positions, [some for some, _ in kept.values()], color=KEPT)
    axes.set_xticks(positions, list(kept), rotation=60, ha="right", fontsize=8)
    axes.set_ylabel("filters")
    some, total = sum(s for s, _ in kept.values()), sum(t for _, t in kept.values())
    axes.set_title(f"{some} of {total} filters kept", loc="left")
    _write(figure, path)


def draw_statistics(history: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw how each layer's masks move over training, and their confidence and diversity.

    Parameters
    ----------
    history : sequence of mapping
        One for each epoch, with ``layers``: some of ``moved``, ``confidence`` and ``diversity`` by
        name, 0..1. Dense layers may be absent.
    path : Path
    """
    known = {what for entry in history for layer in entry["layers"].values() for what in layer}
    shown = [what for what in STATISTICS if what in known]
    figure = Figure(figsize=(2 + 4 * max(len(shown), 1), 4), layout="constrained")
    epochs = range(1, len(history) + 1)
    names = dict.fromkeys(name for entry in history for name in entry["layers"])
    panels = figure.subplots(1, max(len(shown), 1), sharey=True, squeeze=False)[0]
    for axes, what in zip(panels, shown, strict=False):
        for name in names:
            values = [entry["layers"].get(name, {}).get(what, nan) for entry in history]
            axes.plot(epochs, values, marker="o", markersize=3, label=name)
        axes.set_title(STATISTICS[what], loc="left")
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylim(-0.02, 1.02)
        axes.grid(alpha=0.3)
    figure.axes[-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _write(figure, path)


def _group_lines(axes: Any, pattern: Pattern, channels: int, columns: int) -> None:
    """Separate groups by fine lines and taps by strong lines, unless they would be too close."""
    if isinstance(pattern.select, KOutOfN) and columns <= 160:
        for x in range(pattern.select.n, columns, pattern.select.n):
            axes.axvline(x - 0.5, color="white", linewidth=0.6)
    for x in range(channels, columns, channels):
        axes.axvline(x - 0.5, color="#cc5500", linewidth=0.9)


def _write(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)

"""Draw the picture of the README: a placed design beside the front of a search.

python -m benchmarks.overview
"""

import json
from pathlib import Path
from typing import Any

from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

ROOT = Path(__file__).parent.parent
PICTURES = ROOT / "docs/pictures"
SEARCH = ROOT / "benchmarks/tuning/results/digits.json"
DIE = (0, 60, 935, 725)
"""The die in floorplan.png, in pixels: left, top, right, bottom."""


def draw(path: Path) -> None:
    """Draw the die of floorplan.png, and accuracy against speed of the designs of the search."""
    study = json.loads(SEARCH.read_text())
    figure = Figure(figsize=(13, 5), dpi=110)
    FigureCanvasAgg(figure)
    die, front = figure.subplots(1, 2, width_ratios=(1.25, 1))
    left, top, right, bottom = DIE
    die.imshow(image.imread(PICTURES / "floorplan.png")[top:bottom, left:right])
    die.set_axis_off()
    die.set_title("Placed and routed: a pruned CNN on an ECP5-25F,\none colour per layer", size=12)
    _draw_front(front, study)
    figure.tight_layout()
    figure.savefig(path)


def _draw_front(axes: Any, study: dict[str, Any]) -> None:
    values = [design["values"] for design in study["front"]]
    dots = axes.scatter(
        [value["fps"] for value in values],
        [100 * value["accuracy"] for value in values],
        c=[value["luts"] for value in values],
        cmap="viridis_r",
        s=36,
        edgecolors="white",
        linewidths=0.5,
    )
    axes.set_xscale("log")
    axes.set_xlabel("frames per second")
    axes.set_ylabel("accuracy in %, 300 held-out images")
    axes.grid(alpha=0.3)
    axes.set_title(
        f"Searched: {len(values)} designs, none beaten in\nall of its objectives", size=12
    )
    bar = axes.figure.colorbar(dots, ax=axes)
    bar.set_label("LUTs")
    for axis in (axes.xaxis, bar.ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


if __name__ == "__main__":
    draw(PICTURES / "overview.png")

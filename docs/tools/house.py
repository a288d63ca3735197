"""The house: how large each package is, and which packages it imports.

python -m docs.tools.house             # print the table
python -m docs.tools.house FILE.svg    # draw the imports
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLOORS = ("flow", "sim", "hw", "sw")
"""Source roots, from top to bottom: a package imports from its own floor and those below."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """One package of the namespace.

    Parameters
    ----------
    name, floor : str
    folder : Path
    """

    name: str
    floor: str
    folder: Path

    @cached_property
    def sources(self) -> list[Path]:
        """All Python files, in order."""
        return sorted(self.folder.rglob("*.py"))

    @property
    def rooms(self) -> int:
        """Number of folders with Python files, this one included."""
        return len({path.parent for path in self.sources})

    @property
    def lines(self) -> int:
        """Number of lines in all files."""
        return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in self.sources)

    @property
    def summary(self) -> str:
        """First sentence of the docstring."""
        docstring = ast.get_docstring(ast.parse((self.folder / "__init__.py").read_text())) or ""
        return docstring.partition("\n")[0]

    @cached_property
    def imports(self) -> frozenset[str]:
        """Names of the packages that this one imports, wherever in a file."""
        names = {name for path in self.sources for name in _imported(path)}
        return frozenset(names - {self.name})


def find_packages() -> dict[str, Package]:
    """Find all packages, floor by floor from the top."""
    return {
        folder.name: Package(name=folder.name, floor=floor, folder=folder)
        for floor in FLOORS
        for folder in sorted((ROOT / floor / "systolith").iterdir())
        if (folder / "__init__.py").exists()
    }


def find_cycle(packages: dict[str, Package]) -> list[str]:
    """Find packages that import each other in a circle; empty if there are none."""

    def search(name: str, path: list[str]) -> list[str]:
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        for below in sorted(packages[name].imports):
            if cycle := search(below, [*path, name]):
                return cycle
        done.add(name)
        return []

    done: set[str] = set()
    return next((cycle for name in packages if (cycle := search(name, []))), [])


def levels_of(packages: dict[str, Package]) -> dict[str, int]:
    """Number packages so that each lies above those that it imports."""
    levels: dict[str, int] = {}

    def level(name: str) -> int:
        if name not in levels:
            levels[name] = 0  # ends the search should there be a circle
            below = packages[name].imports & packages.keys()
            levels[name] = 1 + max(map(level, below), default=-1)
        return levels[name]

    return {name: level(name) for name in packages}


def direct_imports(packages: dict[str, Package]) -> Iterator[tuple[str, str]]:
    """List the imports that no other import implies: from, to."""
    reach: dict[str, set[str]] = {}

    def reached(name: str) -> set[str]:
        if name not in reach:
            below = packages[name].imports
            reach[name] = set(below)  # ends the search should there be a circle
            reach[name] = set(below).union(*(reached(other) for other in below))
        return reach[name]

    for name, package in packages.items():
        for other in sorted(package.imports):
            if not any(other in reached(way) for way in package.imports - {other}):
                yield name, other


def table_rows(packages: dict[str, Package]) -> Iterator[str]:
    """Write the packages as rows of a Markdown table."""
    yield "| floor | package | what it holds | folders | files | lines | imports |"
    yield "|---|---|---|---|---|---|---|"
    for floor in reversed(FLOORS):
        rooms = [package for package in packages.values() if package.floor == floor]
        for package in rooms:
            below = ", ".join(sorted(package.imports)) or "-"
            sizes = f"{package.rooms} | {len(package.sources)} | {package.lines:,}"
            yield f"| `{floor}` | `{package.name}` | {package.summary} | {sizes} | {below} |"
        yield _total(f"all of `{floor}`", rooms)
    yield _total("everything", list(packages.values()))


def draw(packages: dict[str, Package], path: Path) -> None:
    """Draw the packages, floor by floor, and an arrow for each direct import.

    Parameters
    ----------
    packages : dict of str to Package
    path : Path
        An SVG file.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    colours = {"flow": "#8e5ea2", "sim": "#3572a5", "hw": "#00897b", "sw": "#b36b00"}
    places, rows = _places(packages)
    figure = Figure(figsize=(11, 0.78 * rows))
    FigureCanvasSVG(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-0.9, 11)
    axes.set_ylim(-0.6, rows - 0.4)
    axes.axis("off")
    for floor in FLOORS:
        heights = [places[name][1] for name in packages if packages[name].floor == floor]
        low, high = min(heights) - 0.45, max(heights) + 0.45
        axes.axhspan(low, high, color=colours[floor], alpha=0.08, lw=0)
        axes.text(-0.75, high - 0.3, floor, color=colours[floor], weight="bold", size=13)
    for name, other in direct_imports(packages):
        (x, y), (to_x, to_y) = places[name], places[other]
        arrow = FancyArrowPatch(
            (x, y - 0.2), (to_x, to_y + 0.2), arrowstyle="-|>", mutation_scale=9,
            color=colours[packages[name].floor], alpha=0.55, lw=1.0,
            connectionstyle=f"arc3,rad={0.12 if to_x > x else -0.12}", shrinkA=0, shrinkB=0,
        )  # fmt: skip
        axes.add_patch(arrow)
    for name, package in packages.items():
        x, y = places[name]
        box = FancyBboxPatch(
            (x - 0.68, y - 0.19), 1.36, 0.38, boxstyle="round,pad=0.01,rounding_size=0.08",
            facecolor="white", edgecolor=colours[package.floor], lw=1.4, zorder=3,
        )  # fmt: skip
        axes.add_patch(box)
        axes.text(x, y, name, ha="center", va="center", size=10.5, zorder=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "systolith", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


def _places(packages: dict[str, Package]) -> tuple[dict[str, tuple[float, float]], int]:
    """Give each package a column and a row: floors below each other, imports downward."""
    places: dict[str, tuple[float, float]] = {}
    row = 0
    for floor in reversed(FLOORS):
        levels = levels_of({name: room for name, room in packages.items() if room.floor == floor})
        for level in sorted(set(levels.values())):
            line = sorted(name for name in levels if levels[name] == level)
            shift = (0.18, -0.18)[row % 2] if len(line) == 1 else (0.06, -0.06)[row % 2]
            for number, name in enumerate(line):
                places[name] = (0.6 + 10.2 * ((number + 0.5) / len(line) + shift), row)
            row += 1
    return places, row


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("systolith."):
            yield (node.module or "").split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("systolith."):
                    yield alias.name.split(".")[1]


def _total(title: str, rooms: list[Package]) -> str:
    folders = sum(package.rooms for package in rooms)
    files = sum(len(package.sources) for package in rooms)
    lines = sum(package.lines for package in rooms)
    return f"| | **{title}** | | **{folders}** | **{files}** | **{lines:,}** | |"


def main() -> None:
    """Print the table, or draw into the file that is given."""
    packages = find_packages()
    if len(sys.argv) > 1:
        draw(packages, Path(sys.argv[1]))
    else:
        print("\n".join(table_rows(packages)))


if __name__ == "__main__":
    main()

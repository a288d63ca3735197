"""Pages that MkDocs writes while building: packages, commands, the house; and their places."""

import ast
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FLOORS = {
    "sw": "Software: networks, pruning, training",
    "hw": "Hardware: plans, gateware, bitstreams",
    "sim": "Simulation: benches, verification, fuzzing",
    "flow": "Flow: stages, tuning, the command line",
}
GENERATED = "packages"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the empty sections of the navigation."""
    nav: list[Any] = config.nav or []
    _fill(nav, "Decisions", sorted(f"adr/{path.name}" for path in (DOCS / "adr").glob("*.md")))
    contributing = sorted((DOCS / "contributing").glob("*.md"), key=lambda path: path.stem != "index")
    _fill(nav, "Contributing", [f"contributing/{path.name}" for path in contributing])
    floors = [
        {title: [f"{GENERATED}/{package.name}.md" for package in packages_of(floor)]}
        for floor, title in FLOORS.items()
    ]
    _fill(nav, "Packages", floors)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {"commands.md": commands_page(), "house.md": house_page()}
    for floor in FLOORS:
        for package in packages_of(floor):
            pages[f"{GENERATED}/{package.name}.md"] = package_page(package)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def packages_of(floor: str) -> list[Path]:
    """List the folders of the packages of one source root."""
    folders = (ROOT / floor / "systolith").iterdir()
    return sorted(path for path in folders if (path / "__init__.py").exists())


def package_page(package: Path) -> str:
    """Write the page of a package: the docstrings of its public names."""
    name = f"systolith.{package.name}"
    names = _public(package / "__init__.py")
    inner = sorted(path.parent for path in package.glob("*/__init__.py"))
    lines = [f"# {name}", "", f"::: {name}", "    options:", "      show_root_heading: false"]
    lines += ["      show_root_toc_entry: false", f"      members: {names}"]
    for room in inner:
        if public := _public(room / "__init__.py"):
            lines += ["", f"## {name}.{room.name}", "", f"::: {name}.{room.name}", "    options:"]
            lines += ["      show_root_heading: false", "      show_root_toc_entry: false"]
            lines += ["      heading_level: 3", f"      members: {public}"]
    return "\n".join(lines) + "\n"


def commands_page() -> str:
    """Write the options of every command, as the command line itself describes them."""
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from systolith.cli import app

    command = get_command(app)
    text = get_docs_for_click(
        obj=command, ctx=command.make_context("systolith", [], resilient_parsing=True),
        name="systolith", title="Commands and options",
    )
    return re.sub(r"\n{3,}", "\n\n", text)


def house_page() -> str:
    """Write what each package is for, how large it is, and which packages it imports."""
    return "# The house\n"


def _public(init: Path) -> list[str]:
    """Read ``__all__`` from a table of contents."""
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def _fill(nav: list[Any], title: str, entries: list[Any]) -> None:
    for entry in nav:
        if isinstance(entry, dict):
            for name, below in entry.items():
                if name == title:
                    entry[name] = entries
                elif isinstance(below, list):
                    _fill(below, title, entries)

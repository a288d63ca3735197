"""Pages that MkDocs writes while building: packages, commands, the imports; and their places."""

import ast
import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parents[2]))
from docs.tools import house

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FLOORS = {
    "sw": "Software: networks, pruning, training",
    "hw": "Hardware: plans, gateware, bitstreams",
    "sim": "Simulation: benches, verification, fuzzing",
    "flow": "Flow: stages, tuning, the command line",
}
GENERATED = "packages"
HOUSE = "<!-- house -->"
ROLE = re.compile(r":(func|class|data|attr|meth|mod|exc|obj):<code>([\w.~]+)</code>")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the empty sections of the navigation."""
    nav: list[Any] = config.nav or []
    _fill(nav, "Decisions", sorted(f"adr/{path.name}" for path in (DOCS / "adr").glob("*.md")))
    contributing = sorted(
        (DOCS / "contributing").glob("*.md"), key=lambda path: path.stem != "index"
    )
    _fill(nav, "Contributing", [f"contributing/{path.name}" for path in contributing])
    floors = [
        {title: [f"{GENERATED}/{package.name}.md" for package in packages_of(floor)]}
        for floor, title in FLOORS.items()
    ]
    _fill(nav, "Packages", floors)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the picture of the imports."""
    pages = {"commands.md": commands_page()}
    for floor in FLOORS:
        for package in packages_of(floor):
            pages[f"{GENERATED}/{package.name}.md"] = package_page(package)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    picture = ROOT / "out/house.svg"
    house.draw(house.find_packages(), picture)
    files.append(File.generated(config, "pictures/house.svg", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the table of packages and the picture of their imports where a page wants them."""
    return markdown.replace(HOUSE, house_text()) if HOUSE in markdown else markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the roles of docstrings, such as ``:func:`systolith.plan.plan_network```, into links."""
    return ROLE.sub(_linked, html)


def packages_of(floor: str) -> list[Path]:
    """List the folders of the packages of one source root."""
    folders = (ROOT / floor / "systolith").iterdir()
    return sorted(path for path in folders if (path / "__init__.py").exists())


def package_page(package: Path) -> str:
    """Write the page of a package: the docstrings of its public names, then those of its rooms."""
    name = f"systolith.{package.name}"
    lines = [f"# {name}", "", *_directive(name, 2)]
    for room in sorted(path.parent for path in package.glob("*/__init__.py")):
        inner = f"{name}.{room.name}"
        lines += ["", f"## {inner}", "", *_directive(inner, 3)]
        lines += _members(inner, room, 3)
    return "\n".join([*lines[:8], *_members(name, package, 2), *lines[8:]]) + "\n"


def _directive(name: str, level: int) -> list[str]:
    """Ask for the docstring of a package alone."""
    options = ["show_root_heading: false", "show_root_toc_entry: false", "members: []"]
    return [f"::: {name}", "    options:", *(f"      {option}" for option in options)]


def _members(name: str, package: Path, level: int) -> list[str]:
    """Ask for the public names of a package: classes, functions, constants."""
    names = sorted(_public(package / "__init__.py"), key=lambda name: (_kind(name), name))
    source = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    # Constants that are assigned together, as in "A, B = 0, 1", have no docstring to show.
    names = [
        name for name in names
        if not name.isupper() or re.search(rf"^{name}(:.*)? = ", source, re.MULTILINE)
    ]  # fmt: skip
    lines = []
    for member in names:
        lines += ["", f"::: {name}.{member}", "    options:", f"      heading_level: {level}"]
    return lines


def _kind(name: str) -> int:
    """Sort classes before functions, and these before constants."""
    return 2 if name.isupper() else 1 if name.islower() else 0


def commands_page() -> str:
    """Write the options of every command, as the command line itself describes them."""
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from systolith.cli import app

    command = get_command(app)
    text = get_docs_for_click(
        obj=command,
        ctx=command.make_context("systolith", [], resilient_parsing=True),
        name="systolith",
        title="Commands and options",
    )
    for name, below in command.commands.items():
        summary = " ".join((below.help or "").partition("\n\n")[0].split())
        text = re.sub(
            rf"^\* `{name}`: .*$",
            f"* [`{name}`](#systolith-{name}): {summary}",
            text,
            count=1,
            flags=re.MULTILINE,
        )
    return re.sub(r"\n{3,}", "\n\n", text)


def house_text() -> str:
    """Show the imports between packages, and what each package is for."""
    packages = house.find_packages()
    rows = "\n".join(house.table_rows(packages))
    return f"![Imports between the packages of systolith](pictures/house.svg)\n\n{rows}\n"


def _linked(role: re.Match[str]) -> str:
    """Link a name to its entry, if there is one."""
    name = role[2].lstrip("~")
    shown = name.removeprefix("systolith.") if role[2] == name else name.rpartition(".")[2]
    if not name.startswith("systolith."):
        return f"<code>{shown}</code>"
    return f'<autoref optional identifier="{name}"><code>{shown}</code></autoref>'


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

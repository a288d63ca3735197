"""The house: one namespace over four roots, imports downward only."""

import ast
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ["sw", "hw", "sim", "flow"]
PACKAGES = {
    package.name: floor
    for floor in FLOORS
    for package in sorted((ROOT / floor / "systolith").iterdir())
    if package.is_dir() and package.name != "__pycache__"
}
SOURCES = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]


def _imported(path: Path) -> set[str]:
    """All modules that a source file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports must be absolute"
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("floor", FLOORS)
def test_namespace_package_has_no_init(floor: str) -> None:
    assert not (ROOT / floor / "systolith" / "__init__.py").exists()


@pytest.mark.parametrize("package", PACKAGES)
def test_package_is_typed_and_has_a_table_of_contents(package: str) -> None:
    folder = ROOT / PACKAGES[package] / "systolith" / package
    assert (folder / "py.typed").exists()
    tree = ast.parse((folder / "__init__.py").read_text())
    assert ast.get_docstring(tree), "the table of contents starts with what is in the room"
    allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)
    assert all(isinstance(node, allowed) for node in tree.body), "a table of contents, never code"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downward_only(path: Path) -> None:
    floor = FLOORS.index(path.relative_to(ROOT).parts[0])
    for name in _imported(path):
        parts = name.split(".")
        if parts[0] == "systolith":
            assert len(parts) > 1, f"{path}: import from a package of systolith, not from the top"
            assert FLOORS.index(PACKAGES[parts[1]]) <= floor, f"{path} imports {name} upwards"


@pytest.mark.parametrize(
    ("package", "foreign"),
    [
        ("foundation", {"numpy", "torch", "amaranth", "cocotb"}),
        ("network", {"torch", "amaranth", "cocotb"}),
        ("gateware", {"torch", "cocotb"}),
        ("plan", {"torch", "cocotb"}),
        ("devices", {"torch", "cocotb", "amaranth"}),
        ("emit", {"torch", "cocotb"}),
        ("build", {"torch", "cocotb", "amaranth"}),
    ],
)
def test_package_stays_free_of_foreign_frameworks(package: str, foreign: set[str]) -> None:
    for path in (ROOT / PACKAGES[package] / "systolith" / package).rglob("*.py"):
        assert not {name.split(".")[0] for name in _imported(path)} & foreign, path


@pytest.mark.parametrize(
    ("package", "below"),
    [("foundation", ()), ("network", ("systolith.foundation",)), ("trace", ())],
)
def test_the_ground_floors_import_nothing_above(package: str, below: tuple[str, ...]) -> None:
    for path in (ROOT / "sw/systolith" / package).rglob("*.py"):
        within = {name for name in _imported(path) if name.startswith("systolith")}
        assert all(name.startswith((f"systolith.{package}", *below)) for name in within), path


def test_public_names_have_one_meaning() -> None:
    origins: dict[str, set[tuple[str, str]]] = {}
    for package, tree in INITS.items():
        for name in _public_names(tree):
            origins.setdefault(name, set()).add(_origin(package, name))
    assert not {name: places for name, places in origins.items() if len(places) > 1}


INITS = {
    ".".join(path.parent.relative_to(ROOT / floor).parts): ast.parse(path.read_text())
    for floor in FLOORS
    for path in sorted((ROOT / floor / "systolith").rglob("__init__.py"))
}
"""The table of contents of each package."""


def _public_names(tree: ast.Module) -> list[str]:
    """The names in ``__all__``."""
    return [
        name
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for name in ast.literal_eval(node.value)
    ]


def _origin(module: str, name: str) -> tuple[str, str]:
    """The module that defines a public name of a package, and its name there."""
    for node in INITS[module].body if module in INITS else []:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _origin(node.module or "", alias.name)
    return module, name


def test_no_folder_of_tests_or_doctests_is_skipped(pytestconfig: pytest.Config) -> None:
    skipped = pytestconfig.getini("norecursedirs")
    for root in ("tests", *FLOORS):
        for path in (ROOT / root).rglob("*.py"):
            folders = path.relative_to(ROOT).parts[:-1]
            assert not any(fnmatch(name, glob) for name in folders for glob in skipped), path

"""The source files of a module: its own, and those of everything that it imports.

Sources are read, not imported. An import counts wherever it stands in a file. So does a string that
names a module, because such modules are imported in other processes.
"""

import ast
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

__all__ = ["Closure", "Import", "is_installed", "own_module", "user_module"]

INSTALLED = ("site-packages", "dist-packages")
VALUES = "systolith.config"
"""Imports of this package are not followed: the values of its sections are in the keys."""
SOURCES = (".cpp", ".h", ".json", ".sv", ".v", ".vlt")
"""Suffixes of files beside a module that it uses."""

Locate = Callable[[str], Path | None]
Import = tuple[str, str | None]
"""A module, and the name imported from it; None for the module itself."""


@dataclass(slots=True)
class Closure:
    """The files of modules and of their imports.

    Parameters
    ----------
    locate : callable
        Returns the file of a module, given its dotted name; None for modules that do not count.
    tables : bool
        Whether each ``__init__`` is only a table of contents. Then an import from a package
        follows only the imported name.
    """

    locate: Locate
    tables: bool
    files: dict[str, Path] = field(default_factory=dict)
    """Files by module; files beside modules by path."""
    outside: set[Import] = field(default_factory=set)
    """Imports that were not followed."""
    _seen: set[Import] = field(default_factory=set)

    def follow(self, module: str, name: str | None = None) -> None:
        """Add the files that an import of a module, or of a name from it, needs."""
        if (module, name) in self._seen:
            return
        self._seen.add((module, name))
        path = self.locate(module)
        if path is None:
            self.outside.add((module, name))
        elif name is not None and self.locate(f"{module}.{name}") is not None:
            self.follow(f"{module}.{name}")
        elif path.name == "__init__.py" and self.tables:
            origin = dict(_contents(*_stamp(path))).get(name or "")
            if origin is not None:
                self.follow(*origin)
            else:
                for inner in sorted(path.parent.glob("*.py")):
                    if inner.stem != "__init__":
                        self.follow(f"{module}.{inner.stem}")
        else:
            self._add(module, path)

    def _add(self, module: str, path: Path) -> None:
        if module in self.files:
            return
        self.files[module] = path
        parent = module.rpartition(".")[0]
        if self.tables:
            for beside in path.parent.iterdir():
                if beside.suffix in SOURCES:
                    self.files[str(beside)] = beside
        elif parent and (package := self.locate(parent)) is not None:
            self._add(parent, package)
        for imported, name in _imports(*_stamp(path), module):
            inside = imported == VALUES or imported.startswith(f"{VALUES}.")
            if inside or not module.startswith(f"{VALUES}."):
                self.follow(imported, name)


def own_module(name: str) -> Path | None:
    """Find the file of one of systolith's modules."""
    top, _, rest = name.partition(".")
    if top != "systolith":
        return None
    spec = find_spec(top)
    assert spec is not None, "this is one of its modules"
    return _within(list(spec.submodule_search_locations or ()), rest) if rest else None


def user_module(folder: Path) -> Locate:
    """Find the user's modules: in a folder or on the path, but not installed ones.

    Parameters
    ----------
    folder : Path
        Folder that is searched first.
    """
    search = [str(folder.resolve()), *sys.path]

    def locate(name: str) -> Path | None:
        top, _, rest = name.partition(".")
        if top == "systolith" or top in sys.stdlib_module_names:
            return None
        spec = PathFinder.find_spec(top, search)
        if spec is None:
            return None
        if rest:
            path = _within(list(spec.submodule_search_locations or ()), rest)
        else:
            path = Path(spec.origin) if spec.origin else None
        return None if path is None or path.suffix != ".py" or is_installed(path) else path

    return locate


def is_installed(path: Path) -> bool:
    """Whether a file belongs to Python or to an installed wheel."""
    standard = Path(sysconfig.get_path("stdlib"))
    return path.is_relative_to(standard) or any(part in INSTALLED for part in path.parts)


def _within(folders: list[str], rest: str) -> Path | None:
    relative = Path(*rest.split("."))
    for folder in folders:
        for path in (Path(folder) / relative / "__init__.py", Path(folder) / f"{relative}.py"):
            if path.is_file():
                return path
    return None


def _stamp(path: Path) -> tuple[Path, int, int]:
    """Identify the present state of a file, for caches."""
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size


@cache
def _tree(path: Path, changed: int, size: int) -> ast.Module:
    return ast.parse(path.read_bytes(), str(path))


@cache
def _imports(path: Path, changed: int, size: int, module: str) -> tuple[Import, ...]:
    """List imports of a file: module, and name if there is one."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    imports: dict[Import, None] = {}
    try:
        tree = _tree(path, changed, size)
    except SyntaxError:  # raised again when the module is imported
        return ()
    for node in ast.walk(tree):
        imports.update(dict.fromkeys(_imports_of(node, package)))
    return tuple(imports)


def _imports_of(node: ast.AST, package: str) -> Iterator[Import]:
    match node:
        case ast.Import(names=names):
            yield from ((alias.name, None) for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - level + 1]) if level else ""
            source = ".".join(filter(None, (base, module)))
            yield from ((source, None if alias.name == "*" else alias.name) for alias in names)
        case ast.Constant(value=str(text)) if text.startswith("systolith."):
            if text.replace(".", "").replace("_", "").isalnum() and own_module(text) is not None:
                yield text, None


@cache
def _contents(path: Path, changed: int, size: int) -> tuple[tuple[str, tuple[str, str]], ...]:
    """List the names that a package's ``__init__`` imports, each with its module."""
    return tuple(
        (alias.asname or alias.name, (node.module, alias.name))
        for node in _tree(path, changed, size).body
        if isinstance(node, ast.ImportFrom) and node.module and not node.level
        for alias in node.names
    )

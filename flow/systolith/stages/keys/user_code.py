"""The user's modules: found, reloaded if they changed, called, and explained if they fail."""

import hashlib
import random
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from systolith.foundation import UsageError
from systolith.stages.keys.closure import Closure, is_installed, user_module
from systolith.stages.keys.inputs import Inputs
from systolith.stages.keys.program import digest_file, library_versions

__all__ = ["call_seeded", "digest_sources", "explain_user_error", "find_callable"]

T = TypeVar("T")

SOURCE = "__systolith_source__"
"""Attribute of an imported module: hash of its source files."""
MOST_LEGACY_SEEDS = 2**32
"""Seeds of NumPy's legacy generator are smaller than this."""


def find_callable(factory: str, what: str, known: Mapping[str, object], folder: Path) -> Any:
    """Import ``module:callable``.

    Parameters
    ----------
    factory : str
    what : str
        The key that names the factory, for messages.
    known : mapping
        Names that may be given instead.
    folder : Path
        Folder that is searched first.

    Raises
    ------
    UsageError
        If there is no such module or name, or importing it fails.
    """
    module, _, name = factory.partition(":")
    if not name:
        raise UsageError(
            f"{what} must be one of {', '.join(known)}, or 'module:callable', got '{factory}'"
        )
    search = str(folder.resolve())
    missing = f"{what} '{factory}' cannot be found"
    with _searching(search), explain_user_error(f"{what} '{factory}': importing it"):
        try:
            imported = _import(module, folder)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise
            where = f"no module '{error.name}' in {search} or installed"
            raise UsageError(f"{missing}: {where}") from error
        except ImportError as error:
            raise UsageError(f"{missing}: {error}") from error
    if not hasattr(imported, name):
        raise UsageError(f"{missing}: module '{module}' has no '{name}'")
    made = getattr(imported, name)
    if not callable(made):
        raise UsageError(f"{what} '{factory}' must be callable, got {type(made).__name__}")
    return made


def call_seeded(made: Callable[[], T], seed: int, what: str, folder: Path) -> T:
    """Call a factory with all common random generators seeded, and restore them afterwards.

    Raises
    ------
    UsageError
        If the factory raises anything.
    """
    import torch  # plans of saved networks do without

    ours, numpys = random.getstate(), np.random.get_state()
    try:
        with (
            torch.random.fork_rng(devices=[]),
            _searching(str(folder.resolve())),
            explain_user_error(what),
        ):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % MOST_LEGACY_SEEDS)
            return made()
    finally:
        random.setstate(ours)
        np.random.set_state(numpys)


@contextmanager
def explain_user_error(what: str) -> Iterator[None]:
    """Turn any error of the user's code into one sentence that names the line.

    Raises
    ------
    UsageError
        Raised from the original error.
    """
    try:
        yield
    except (UsageError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}".rstrip(": ").splitlines()[0]
        raise UsageError(f"{what} raised {said}{_place(error.__traceback__)}") from error


def digest_sources(factory: str, folder: Path) -> tuple[Inputs, frozenset[tuple[str, str | None]]]:
    """Return digests of the user's files behind ``module:callable``, and versions of libraries.

    Returns
    -------
    inputs : Inputs
    imports : set of pairs of str
        What the files import from systolith: module and name.
    """
    module = factory.partition(":")[0]
    closure = _closure(module, folder)
    base = folder.resolve()
    names = {path: _named(path.resolve(), base) for path in closure.files.values()}
    inputs: Inputs = {
        "source": {name: digest_file(path) for path, name in sorted(names.items())},
        "library": library_versions({name.partition(".")[0] for name, _ in closure.outside}),
    }
    imports = {pair for pair in closure.outside if pair[0].startswith("systolith.")}
    return inputs, frozenset(imports)


def _closure(module: str, folder: Path) -> Closure:
    closure = Closure(user_module(folder), tables=False)
    closure.follow(module)
    return closure


def _named(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def _import(module: str, folder: Path) -> Any:
    """Import a module, or reload it if its files have changed."""
    closure = _closure(module, folder)
    contents = [path.read_bytes() for _, path in sorted(closure.files.items())]
    digest = hashlib.sha256(b"".join(contents)).hexdigest()
    before = sys.modules.get(module)
    if getattr(before, SOURCE, digest) != digest:
        for name in closure.files:
            sys.modules.pop(name, None)
        invalidate_caches()
    imported = import_module(module)
    if not hasattr(imported, SOURCE):
        setattr(imported, SOURCE, digest)
    return imported


@contextmanager
def _searching(folder: str) -> Iterator[None]:
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _place(trace: TracebackType | None) -> str:
    """Describe the innermost line of the user's code in a traceback."""
    spec = find_spec("systolith")
    ours = [Path(folder) for folder in (spec.submodule_search_locations or () if spec else ())]
    for frame in reversed(traceback.extract_tb(trace)):
        path = Path(frame.filename)
        if path.is_file() and not is_installed(path) and not {*ours} & {*path.parents}:
            return f", in {frame.name} at {path.name}:{frame.lineno}: {frame.line}"
    return ""

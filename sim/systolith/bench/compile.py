"""From Verilog to a simulator: run Verilator and make, and tell what they said."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from systolith.bench.build_cache import CACHE_VARIABLE, breaks_make, content_key, shared_folder
from systolith.bench.errors import BuildError
from systolith.bench.toolchain import Toolchain

__all__ = [
    "FLAGS",
    "QUICK_FLAGS",
    "VERILATOR_FLAGS",
    "check_folder",
    "copy_sources",
    "error_lines",
    "package_file",
    "run_make",
    "run_verilator",
]

LAST_LINES = 20
VERILATOR_FLAGS = (
    "--cc",
    "--exe",
    "--no-timing",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
)
"""Warnings are off because Amaranth's Verilog is generated: nobody would read them."""


FLAGS = ("OPT_FAST=-O2", "OPT_SLOW=-O1", "OPT_GLOBAL=-O1")
"""Of make: optimize what runs in every cycle, and little else.

Cycles per second of a whole ResNet-8, against these: ``-Os`` 0.88, ``-O2 -march=native`` and
``-O3 -march=native`` 0.96, ``-O2`` with a profile of a run 1.02, for twice the time to compile.
"""
QUICK_FLAGS = (
    *("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1"),
    # a header is not compiled beforehand where a file or two include it
    *("VK_PCH_H=none", "--old-file=none.fast.gch", "--old-file=none.slow.gch"),
    *(f"VK_PCH_I_{speed}=-include $(VM_PREFIX)__pch.h" for speed in ("FAST", "SLOW")),
)


def package_file(name: str) -> str:
    """Read a source file that is installed beside this module."""
    return files("systolith.bench").joinpath(name).read_text()


def check_folder(workdir: Path) -> Path:
    """Make a work folder, absolute and where make can build.

    If the path has blanks or signs such as ``$``, the folder is one where caches lie, of its own
    for that path.

    Raises
    ------
    BuildError
        If the path of caches has, too.
    """
    absolute = workdir.absolute()
    if breaks_make(absolute):
        elsewhere = Path(tempfile.gettempdir()) / f"systolith-{os.getuid()}"
        cache = shared_folder(elsewhere) / "builds"
        if breaks_make(cache):
            raise BuildError(
                f"make needs a folder without blanks in its path, got '{absolute}', and for "
                f"caches '{cache}', nor with signs such as $ # % : '; "
                f"{CACHE_VARIABLE} may name another"
            )
        absolute = cache / content_key([str(absolute)])
    absolute.mkdir(parents=True, exist_ok=True)
    return absolute


def copy_sources(sources: Sequence[Path], folder: Path) -> list[str]:
    """Copy Verilog into a folder, as what Verilator writes for make has the paths of its sources.

    Returns
    -------
    list of str
        The copies' names.
    """
    plain = [re.sub(r"[^\w.]", "_", source.name) for source in sources]
    names = [f"source{number}_{name}" for number, name in enumerate(plain)]
    for source, name in zip(sources, names, strict=True):
        shutil.copyfile(source, folder / name)
    return names


def run_verilator(toolchain: Toolchain, folder: Path, arguments: Sequence[str]) -> None:
    """Translate; arguments come after the common flags. BuildError with the last lines."""
    _run([str(toolchain.verilator), *VERILATOR_FLAGS, *arguments], folder, toolchain)


def run_make(toolchain: Toolchain, folder: Path, makefile: str, arguments: Sequence[str]) -> None:
    """Compile in `folder`, on all cores. BuildError with the last lines of output."""
    jobs = len(os.sched_getaffinity(0))
    command = [str(toolchain.make), f"-j{jobs}", "-f", makefile, *toolchain.make_arguments]
    _run([*command, *arguments], folder, toolchain)


def _run(command: Sequence[str], folder: Path, toolchain: Toolchain) -> None:
    """Run a program of the toolchain; BuildError with its last lines if it fails."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=dict(toolchain.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if done.returncode:
        name = Path(command[0]).name
        raise BuildError(f"{name} failed with exit status {done.returncode}:\n"
                         f"{error_lines(done.stdout)}")  # fmt: skip


def error_lines(output: str) -> str:
    """Shorten what a tool said to its errors and last lines."""
    lines = output.splitlines()
    errors = [line for line in lines[:-LAST_LINES] if "rror" in line]
    return "\n".join((*errors[:LAST_LINES], *lines[-LAST_LINES:]))

"""From Verilog to a simulator: run Verilator and make; share Verilator's runtime library."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from systolith.bench.compile_cache import (
    CACHE_VARIABLE,
    breaks_make,
    compile_once,
    content_key,
    shared_folder,
)
from systolith.bench.errors import CompileError
from systolith.bench.toolchain import Toolchain
from systolith.devices import excerpt_log
from systolith.foundation import spare_folder

__all__ = [
    "FLAGS",
    "QUICK_FLAGS",
    "RUNTIME",
    "SPLIT",
    "VERILATOR_FLAGS",
    "check_folder",
    "copy_sources",
    "error_lines",
    "package_file",
    "place_runtime",
    "run_make",
    "run_verilator",
]

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
"""Warnings are off because nobody reads warnings of generated Verilog."""
SPLIT = ("--output-split", "5000", "--output-split-cfuncs", "500")
"""Arguments of Verilator for optimized models: statements of a C++ file, and of a function.

GCC's time grows faster than the length of a function, and make compiles files in parallel.
"""
FLAGS = ("OPT_FAST=-O2", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1")
"""Arguments of make that optimize the code of every cycle, and nothing else of the model.

Code that runs once, such as the contents of memories, is most of the text of a large design.

Speed of a whole ResNet-8 relative to these flags: 0.88 with ``-Os``, 0.96 with ``-O2`` or ``-O3``
and ``-march=native``, 1.02 with ``-O2`` and a profile, which takes twice the time to compile.
"""
QUICK_FLAGS = (
    *("OPT_FAST=-O0", "OPT_SLOW=-O0", "OPT_GLOBAL=-O1"),
    # No precompiled header, because only one or two files include it.
    *("VK_PCH_H=none", "--old-file=none.fast.gch", "--old-file=none.slow.gch"),
    *(f"VK_PCH_I_{speed}=-include $(VM_PREFIX)__pch.h" for speed in ("FAST", "SLOW")),
)


RUNTIME = ("verilated.o", "verilated_threads.o")
"""Objects of Verilator's runtime library that every model needs."""

GLOBAL = "OPT_GLOBAL="
HEADERS = (
    *("<algorithm>", "<chrono>", "<cinttypes>", "<cstdint>", "<fstream>", "<map>", "<memory>"),
    *("<string>", "<vector>", '"verilated.h"'),
)
"""Headers that every simulator includes: more work for the compiler than a small design."""
PRECOMPILED = "headers.h.fast"
EMPTY = "module empty(input wire clk);\nendmodule\n"


def package_file(name: str) -> str:
    """Read a source file that is installed with this package."""
    return files("systolith.bench").joinpath(name).read_text()


def check_folder(workdir: Path) -> Path:
    """Create a work folder in which make can run. Returns its absolute path.

    If the path has blanks or signs such as ``$``, a folder among the caches takes its place.

    Raises
    ------
    CompileError
        If the path of the caches has blanks or such signs, too.
    """
    absolute = workdir.absolute()
    if breaks_make(absolute):
        cache = shared_folder(spare_folder() or absolute) / "simulators"
        if breaks_make(cache):
            raise CompileError(
                f"make needs a folder without blanks in its path, got '{absolute}', and for "
                f"caches '{cache}', nor with signs such as $ # % : '; "
                f"{CACHE_VARIABLE} may name another"
            )
        absolute = cache / content_key([str(absolute)])
    absolute.mkdir(parents=True, exist_ok=True)
    return absolute


def copy_sources(sources: Sequence[Path], folder: Path) -> list[str]:
    """Copy Verilog into a folder, because Verilator's makefile contains the paths of its sources.

    Returns
    -------
    list of str
        Names of the copies.
    """
    plain = [re.sub(r"[^\w.]", "_", source.name) for source in sources]
    names = [f"source{number}_{name}" for number, name in enumerate(plain)]
    for source, name in zip(sources, names, strict=True):
        shutil.copyfile(source, folder / name)
    return names


def run_verilator(toolchain: Toolchain, folder: Path, arguments: Sequence[str]) -> None:
    """Translate Verilog to C++ with the common flags and `arguments`; CompileError with a log."""
    _run([str(toolchain.verilator), *VERILATOR_FLAGS, *arguments], folder, toolchain)


def run_make(toolchain: Toolchain, folder: Path, makefile: str, arguments: Sequence[str]) -> None:
    """Compile C++ in `folder` on all cores; CompileError with a log."""
    jobs = len(os.sched_getaffinity(0))
    command = [str(toolchain.make), f"-j{jobs}", "-f", makefile, *toolchain.make_arguments]
    _run([*command, *arguments], folder, toolchain)


def _run(command: Sequence[str], folder: Path, toolchain: Toolchain) -> None:
    """Run a program of the toolchain; CompileError with an excerpt of its output if it fails."""
    result = subprocess.run(
        command,
        cwd=folder,
        env=dict(toolchain.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    if result.returncode:
        name = Path(command[0]).name
        log = error_lines(result.stdout)
        raise CompileError(f"{name} failed with exit status {result.returncode}:\n{log}")


def error_lines(output: str) -> str:
    """Shorten the output of a compiler or simulator to its errors and last lines."""
    return excerpt_log(output, "rror")


def place_runtime(
    toolchain: Toolchain,
    workdir: Path,
    folder: Path,
    objects: Sequence[str],
    arguments: Sequence[str],
    make_arguments: Sequence[str],
) -> tuple[str, ...]:
    """Copy compiled objects of Verilator's runtime library into the folder of a design.

    The library is compiled once for all designs of a user, because that takes longer than compiling
    a small design.

    Parameters
    ----------
    toolchain : Toolchain
    workdir : Path
        Holds the objects if :func:`systolith.bench.compile_cache.shared_folder` cannot.
    folder : Path
        Folder in which make will compile the design; created.
    objects : sequence of str
        Objects to copy, such as ``verilated.o``. Make compiles the others.
    arguments : sequence of str
        Arguments of Verilator that change the runtime: tracing, VPI.
    make_arguments : sequence of str
        Optimization flags. Only ``OPT_GLOBAL`` changes the runtime.

    Returns
    -------
    tuple of str
        `make_arguments`, and arguments that keep make from compiling the objects again.
    """
    optimization = [flag for flag in make_arguments if flag.startswith(GLOBAL)]
    key = content_key([toolchain.identity, *objects, *arguments, *optimization])

    def make_objects(work: Path) -> None:
        (work / "empty.v").write_text(EMPTY)
        run_verilator(toolchain, work, [*arguments, "--prefix", "Vempty", "--Mdir", ".", "empty.v"])
        run_make(toolchain, work, "Vempty.mk", [*optimization, *objects])

    runtime = shared_folder(workdir) / f"runtime-{key}"
    compile_once(runtime, make_objects, tuple(objects))
    folder.mkdir(parents=True, exist_ok=True)
    for name in objects:
        shutil.copy(runtime / name, folder / name)
    old_files = (f"--old-file={name}" for name in objects)
    headers = _precompile_headers(toolchain, workdir, arguments, make_arguments)
    return (*make_arguments, *old_files, *headers)


def _precompile_headers(
    toolchain: Toolchain, workdir: Path, arguments: Sequence[str], make_arguments: Sequence[str]
) -> tuple[str, ...]:
    """Precompile the headers of quick models once. Returns the arguments of make that use them.

    Models with waveforms need other headers. Clang refuses headers that were precompiled with other
    options; GCC then reads the source, which lies beside them.
    """
    if (
        "OPT_FAST=-O0" not in make_arguments
        or any(argument.startswith("--trace") for argument in arguments)
        or not toolchain.compiler.name.startswith("g++")
    ):
        return ()
    source = "".join(f"#include {header}\n" for header in HEADERS)
    key = content_key([toolchain.identity, source, *arguments, *make_arguments])

    def make_headers(work: Path) -> None:
        (work / "empty.v").write_text(EMPTY)
        (work / PRECOMPILED).write_text(source)
        (work / PRECOMPILED.removesuffix(".fast")).write_text(source)
        run_verilator(toolchain, work, [*arguments, "--prefix", "Vempty", "--Mdir", ".", "empty.v"])
        run_make(toolchain, work, "Vempty.mk", [*make_arguments, f"{PRECOMPILED}.gch"])

    folder = shared_folder(workdir) / f"headers-{key}"
    compile_once(folder, make_headers, (PRECOMPILED, f"{PRECOMPILED}.gch"))
    return (f"USER_CPPFLAGS=-include {folder / PRECOMPILED}",)

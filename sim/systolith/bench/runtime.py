"""Verilator's runtime library, compiled once for all of a user's designs.

It is more work than a small design is.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

from systolith.bench.build_cache import built_once, content_key, shared_folder
from systolith.bench.compile import run_make, run_verilator
from systolith.bench.toolchain import Toolchain

__all__ = ["RUNTIME", "place_runtime"]

RUNTIME = ("verilated.o", "verilated_threads.o")
"""What every model needs of it."""

GLOBAL = "OPT_GLOBAL="
EMPTY = "module empty(input wire clk);\nendmodule\n"


def place_runtime(
    toolchain: Toolchain,
    workdir: Path,
    folder: Path,
    objects: Sequence[str],
    arguments: Sequence[str],
    make_arguments: Sequence[str],
) -> tuple[str, ...]:
    """Put the runtime's objects where make will find them finished.

    Parameters
    ----------
    toolchain : Toolchain
        That compiles.
    workdir : Path
        Holds the objects if :func:`shared_folder` cannot.
    folder : Path
        Where a design is about to be compiled; created.
    objects : sequence of str
        Such as ``verilated.o``. What a design needs besides, make compiles as usual.
    arguments : sequence of str
        Of Verilator, as far as they change the runtime: tracing, VPI.
    make_arguments : sequence of str
        Optimization; only that of what is global changes the runtime.

    Returns
    -------
    tuple of str
        The same arguments, and those with which make leaves the objects alone.
    """
    optimization = [each for each in make_arguments if each.startswith(GLOBAL)]
    key = content_key([toolchain.identity, *objects, *arguments, *optimization])

    def build(work: Path) -> None:
        (work / "empty.v").write_text(EMPTY)
        run_verilator(toolchain, work, [*arguments, "--prefix", "Vempty", "--Mdir", ".", "empty.v"])
        run_make(toolchain, work, "Vempty.mk", [*optimization, *objects])

    runtime = shared_folder(workdir) / f"runtime-{key}"
    built_once(runtime, build, tuple(objects))
    folder.mkdir(parents=True, exist_ok=True)
    for name in objects:
        shutil.copy(runtime / name, folder / name)
    return (*make_arguments, *(f"--old-file={name}" for name in objects))

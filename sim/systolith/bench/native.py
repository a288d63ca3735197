"""Bulk simulation: compiled C++ drives the design, without Python in the loop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from systolith.bench.compile import (
    FLAGS,
    QUICK_FLAGS,
    RUNTIME,
    SPLIT,
    check_folder,
    copy_sources,
    package_file,
    place_runtime,
    run_make,
    run_verilator,
)
from systolith.bench.compile_cache import compile_once, content_key
from systolith.bench.native_run import SimulationProgress, simulate
from systolith.bench.payload import check_images
from systolith.bench.stalls import NONE, Stalls
from systolith.bench.toolchain import find_toolchain
from systolith.bench.wrapper import TOP, native_outputs, native_wrapper
from systolith.emit import Design
from systolith.foundation import Progress, ProgressCallback, no_progress
from systolith.network import IntArray

__all__ = ["NativeModel", "NativeResult", "compile_native"]

EXECUTABLE = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeResult:
    """Outputs and cycle counts of one bulk simulation.

    Parameters
    ----------
    outputs : tuple of array of int, shape (N, *port.tensor.shape)
        For each output of the design, in the order of the images.
    first_input_cycle, last_output_cycle : array of int, shape (N,)
        Cycle of an image's first transfer in, and of its last transfer out at any output. 0 is the
        first rising clock edge after reset. Each process starts from reset: see `shard_starts`.
    shard_starts : tuple of int
        First image of each process, from which its cycles count.
    cycles : int
        Simulated cycles of all processes, each up to and including its last transfer out.
    seconds : float
        Wall-clock time, without compilation.
    """

    outputs: tuple[IntArray, ...]
    first_input_cycle: IntArray
    last_output_cycle: IntArray
    shard_starts: tuple[int, ...]
    cycles: int
    seconds: float

    @property
    def output(self) -> IntArray:
        """Values of the only output; ValueError if there are several."""
        if len(self.outputs) != 1:
            raise ValueError(f"the design has {len(self.outputs)} outputs")
        return self.outputs[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeModel:
    """A compiled design; made by :func:`compile_native`.

    Parameters
    ----------
    design : Design
        The design.
    executable : Path
        The simulator.
    workdir : Path
        Folder for the temporary files of each run.
    trace : bool
        Whether the simulator can write waveforms.
    compile_seconds : float
        Duration of the compilation; 0 if the simulator was cached.
    """

    design: Design
    executable: Path
    workdir: Path
    trace: bool
    compile_seconds: float

    def run(
        self,
        images: IntArray,
        *,
        stalls: Stalls | None = None,
        seed: int = 0,
        jobs: int = 1,
        watchdog_cycles: int = 1_000_000,
        progress: Callable[[SimulationProgress], None] | None = None,
        waveform: Path | None = None,
    ) -> NativeResult:
        """Simulate all images.

        Parameters
        ----------
        images : array of int, shape (N, *design.input.tensor.shape)
            Values of the input's type; at least one image.
        stalls : Stalls, optional
            Gaps and stalls at the ports; default: none.
        seed : int
            Seed of the stalls.
        jobs : int
            Processes; each simulates consecutive images from reset.
        watchdog_cycles : int
            Cycles without a transfer at a port that count as a hang.
        progress : callable, optional
            Called about twice a second.
        waveform : Path, optional
            FST file to write; needs a model compiled with ``trace=True``, and one job.

        Raises
        ------
        ValueError
            If the images do not fit the design, or a waveform is impossible.
        SimulationError
            If the design hangs, breaks a stream rule at an output, or has too many transfers.
        """
        problems = list(check_images(self.design.input, images))
        if waveform is not None and not self.trace:
            problems.append("a waveform needs a model compiled with trace=True")
        if waveform is not None and jobs != 1:
            problems.append(f"a waveform shows one simulation: jobs must be 1, got {jobs}")
        if jobs < 1:
            problems.append(f"jobs must be at least 1, got {jobs}")
        if problems:
            raise ValueError("; ".join(problems))
        start = time.perf_counter()
        shards = simulate(
            self.design,
            self.executable,
            self.workdir,
            images,
            stalls=stalls or NONE,
            seed=seed,
            jobs=min(jobs, len(images)),
            watchdog_cycles=watchdog_cycles,
            progress=progress,
            waveform=waveform,
        )
        return NativeResult(
            outputs=tuple(
                np.concatenate(parts)
                for parts in zip(*(shard.outputs for shard in shards), strict=True)
            ),
            first_input_cycle=np.concatenate([shard.first_input_cycle for shard in shards]),
            last_output_cycle=np.concatenate([shard.last_output_cycle for shard in shards]),
            shard_starts=tuple(shard.first_image for shard in shards),
            cycles=sum(int(shard.last_output_cycle[-1]) + 1 for shard in shards),
            seconds=time.perf_counter() - start,
        )


def compile_native(
    design: Design,
    workdir: Path,
    *,
    trace: bool = False,
    threads: int = 1,
    quick: bool = False,
    progress: ProgressCallback = no_progress,
) -> NativeModel:
    """Compile a design with Verilator, unless its simulator is cached.

    Parameters
    ----------
    design : Design
        The cache is keyed by its sources and ports.
    workdir : Path
        Holds simulators by content hash; several processes may share it.
    trace : bool
        Enable waveforms, which makes the simulator slower.
    threads : int
        Threads of one simulation. More than one is faster only from arrays of about 32x32 on;
        `jobs` of :meth:`NativeModel.run` uses cores better.
    quick : bool
        Compile without optimization, for short simulations.
    progress : callable, optional
        Called when a compilation starts.

    Raises
    ------
    MissingToolError
        Before anything is compiled.
    CompileError
        If Verilator or the compiler refuses the design.
    """
    workdir = check_folder(workdir)
    toolchain = find_toolchain(waveforms=trace)
    files = {
        "bench.v": native_wrapper(design),
        "outputs.h": native_outputs(design),
        "driver.cpp": package_file("driver.cpp"),
    }
    features = [
        *(("--trace-fst",) if trace else ()),
        *(("--threads", str(threads)) if threads > 1 else ()),
    ]
    split = () if quick else SPLIT
    options = [*("--top-module", TOP, "--prefix", "Vbench", "-o", EXECUTABLE), *features, *split]
    flags = QUICK_FLAGS if quick else FLAGS
    key = content_key([*design.sources, *files.values(), toolchain.identity, *options, *flags])

    def make_simulator(folder: Path) -> None:
        text = f"compiling {design.top} with Verilator"
        progress(Progress(task="compile", done=0, total=1, text=text))
        for name, text in files.items():
            (folder / name).write_text(text)
        sources = copy_sources(design.sources, folder)
        arguments = [*options, "--Mdir", "obj", "driver.cpp", "bench.v", *sources]
        runtime = (*RUNTIME, *(("verilated_fst_c.o",) if trace else ()))
        make = place_runtime(toolchain, workdir, folder / "obj", runtime, features, flags)
        run_verilator(toolchain, folder, arguments)
        run_make(toolchain, folder / "obj", "Vbench.mk", [*make, EXECUTABLE])
        (folder / "obj" / EXECUTABLE).rename(folder / EXECUTABLE)

    start = time.perf_counter()
    folder = workdir / f"native-{key}"
    compiled = compile_once(folder, make_simulator, (EXECUTABLE,))
    return NativeModel(
        design=design,
        executable=folder / EXECUTABLE,
        workdir=workdir,
        trace=trace,
        compile_seconds=time.perf_counter() - start if compiled else 0.0,
    )

"""cocotb and Verilator: build a design's bench once, run it under any stalls."""

import shutil
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from cocotb_tools.check_results import get_results
from cocotb_tools.config import libs_dir

from systolith.bench.build_cache import built_once, content_key
from systolith.bench.compile import (
    FLAGS,
    QUICK_FLAGS,
    VERILATOR_FLAGS,
    check_folder,
    copy_sources,
    error_lines,
    package_file,
)
from systolith.bench.errors import BuildError, SimulationError
from systolith.bench.payload import check_images, from_words, to_words
from systolith.bench.runtime import place_runtime
from systolith.bench.stalls import NONE, Stalls
from systolith.bench.toolchain import Toolchain, find_toolchain
from systolith.bench.verilator_runner import PortsOnlyVerilator
from systolith.bench.wrapper import TOP, cocotb_wrapper, streams
from systolith.emit import Design, StreamPort
from systolith.network import IntArray
from systolith.watch.rules import Rule, Violation
from systolith.watch.stream_job import StreamJob, StreamLog

__all__ = ["StreamModel", "StreamRun", "StreamTrace", "build_streams"]

BENCH_SOURCES = ("stall.sv", "monitor.sv")
BUILD_ARGUMENTS = VERILATOR_FLAGS[2:]  # cocotb gives --cc and --exe itself
RUNTIME = ("verilated.o", "verilated_dpi.o", "verilated_vpi.o", "verilated_threads.o")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTrace:
    """All transfers of one stream.

    Parameters
    ----------
    port : StreamPort
        The stream.
    values : array of int, shape (transfers, lanes)
        What was transferred.
    cycles : array of int, shape (transfers,)
        When; 0 is the first rising clock edge after reset.
    """

    port: StreamPort
    values: IntArray
    cycles: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRun:
    """What one simulation showed.

    Parameters
    ----------
    traces : tuple of StreamTrace
        Input, probes, outputs.
    violations : tuple of Violation
        In the order of time.
    waited : frozenset of str
        Layers whose stream was seen to need no ready for its valid to rise.
    seconds : float
        Wall-clock time.
    """

    traces: tuple[StreamTrace, ...]
    violations: tuple[Violation, ...]
    waited: frozenset[str]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamModel:
    """A design compiled with monitors on its streams; made by :func:`build_streams`.

    Parameters
    ----------
    design : Design
        What it computes.
    executable : Path
        The simulator.
    workdir : Path
        For the files of each run.
    toolchain : Toolchain
        That built it.
    build_seconds : float
        What the build took; 0 if an earlier one was found.
    """

    design: Design
    executable: Path
    workdir: Path
    toolchain: Toolchain
    build_seconds: float

    def run(
        self,
        images: IntArray,
        *,
        stalls: Stalls = NONE,
        seed: int = 0,
        withhold: int | None = None,
        reset_after: int = 0,
        watchdog_cycles: int = 1_000_000,
    ) -> StreamRun:
        """Simulate all images, from reset until nothing moves any more.

        Parameters
        ----------
        images : array of int, shape (N, *design.input.tensor.shape)
            Values of the input's type.
        stalls : Stalls
            Gaps and stalls at the ports.
        seed : int
            Of the stalls.
        withhold : int, optional
            The consumer is never ready at this output and the images repeat without end; shows
            whether valid rises alone. Ends after `watchdog_cycles` without a transfer.
        reset_after : int
            Let the design work on the first transfer, repeated, for this many cycles, then reset it
            for a single one before the simulation begins: what reset does not clear is seen.
        watchdog_cycles : int
            This many cycles without a transfer on any stream are a hang.

        Raises
        ------
        ValueError
            If the images do not fit the design.
        SimulationError
            If the simulator crashes; broken rules and hangs are results.
        """
        problems = list(check_images(self.design.input, images))
        if problems:
            raise ValueError("; ".join(problems))
        ports = streams(self.design)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory(dir=self.workdir, prefix=".run-") as scratch:
            folder = Path(scratch)
            np.save(
                folder / "payloads.npy",
                to_words(self.design.input, self.design.input.to_transfers(images)),
            )
            StreamJob(
                layers=tuple(port.layer for port in ports),
                widths=tuple(port.width for port in ports),
                expected=tuple(len(images) * port.transfers_per_frame for port in ports),
                thresholds=(*stalls.producer.thresholds, *stalls.consumer.thresholds),
                seeds=stalls.seeds(seed, len(self.design.outputs)),
                watchdog_cycles=watchdog_cycles,
                withhold=withhold,
                reset_after=reset_after,
                payloads=str(folder / "payloads.npy"),
                log=str(folder / "log.npz"),
            ).save(folder / "job.json")
            log = self._simulate(folder)
        return StreamRun(
            traces=tuple(
                StreamTrace(port=port, values=from_words(port, words), cycles=cycles)
                for port, words, cycles in zip(ports, log.words, log.cycles, strict=True)
            ),
            violations=tuple(
                Violation(layer=ports[i].layer, rule=Rule[rule], cycle=cycle, detail=detail)
                for i, rule, cycle, detail in log.violations
            ),
            waited=frozenset(p.layer for p, seen in zip(ports, log.waited, strict=True) if seen),
            seconds=time.perf_counter() - start,
        )

    def _simulate(self, folder: Path) -> StreamLog:
        """Run the simulator; cocotb's results file, not its exit status, tells how it went."""
        runner = PortsOnlyVerilator(self.toolchain)
        results, output = folder / "results.xml", folder / "output.txt"
        try:
            runner.test(
                test_module="systolith.watch.stream_bench",
                hdl_toplevel=TOP,
                hdl_toplevel_lang="verilog",
                build_dir=self.executable.parent,
                test_dir=folder,
                results_xml=str(results),
                plusargs=[f"+job={folder / 'job.json'}"],
                extra_env={"COCOTB_REWRITE_ASSERTION_FILES": ""},  # else it compiles all imports
                log_file=output,
            )
            tests, failed = get_results(results)
        except (RuntimeError, SystemExit):
            tests, failed = 0, 0
        if tests != 1 or failed:
            said = error_lines(output.read_text(errors="replace") if output.exists() else "")
            raise SimulationError(f"the cocotb bench of '{self.design.top}' failed:\n{said}")
        return StreamLog.load(folder / "log.npz")


def build_streams(design: Design, workdir: Path, *, quick: bool = False) -> StreamModel:
    """Compile a design with monitors on its streams, or find the model compiled before.

    Parameters
    ----------
    design : Design
        Sources, ports and probes.
    workdir : Path
        Holds builds by content hash; may be shared by several processes at once.
    quick : bool
        Compile in the least time, for a model that runs but a moment.

    Raises
    ------
    MissingToolError
        Before anything is built.
    BuildError
        If Verilator or the compiler refuses the design.
    """
    workdir = check_folder(workdir)
    toolchain = find_toolchain(cocotb=True)
    bench = {name: package_file(name) for name in BENCH_SOURCES}
    bench["bench.sv"] = cocotb_wrapper(design)
    # the path of cocotb's libraries is in the executable
    identity = f"{toolchain.identity}; cocotb {version('cocotb')} in {libs_dir}"
    flags = QUICK_FLAGS if quick else FLAGS
    key = content_key([*design.sources, *bench.values(), identity, *BUILD_ARGUMENTS, *flags])

    def build(folder: Path) -> None:
        for name, text in bench.items():
            (folder / name).write_text(text)
        copied = copy_sources(design.sources, folder)
        output = folder / "output.txt"
        make = place_runtime(toolchain, workdir, folder / "obj", RUNTIME, ["--vpi"], flags)
        try:
            PortsOnlyVerilator(toolchain, make).build(
                sources=[folder / name for name in (*copied, *bench)],
                build_args=list(BUILD_ARGUMENTS),
                hdl_toplevel=TOP,
                build_dir=folder / "obj",
                log_file=output,
            )
        except (RuntimeError, SystemExit) as error:
            said = error_lines(output.read_text(errors="replace") if output.exists() else "")
            raise BuildError(
                f"Verilator cannot build '{design.top}' for cocotb:\n{said}"
            ) from error
        shutil.move(folder / "obj" / TOP, folder / TOP)

    start = time.perf_counter()
    folder = workdir / f"cocotb-{key}"
    built = built_once(folder, build, (TOP,))
    return StreamModel(
        design=design,
        executable=folder / TOP,
        workdir=workdir,
        toolchain=toolchain,
        build_seconds=time.perf_counter() - start if built else 0.0,
    )

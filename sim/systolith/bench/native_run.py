"""One bulk simulation: input files, processes, output files."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from systolith.bench.errors import SimulationError
from systolith.bench.payload import from_words, to_words, words_per_transfer
from systolith.bench.stalls import Stalls
from systolith.emit import Design, StreamPort
from systolith.foundation import Progress
from systolith.network import IntArray

__all__ = ["Shard", "SimulationProgress", "simulate"]

BLOCK_BITS = 1 << 24
FAILED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationProgress(Progress):
    """Progress of a bulk simulation, in images.

    Parameters
    ----------
    images_per_second : float
        Average since the start.
    """

    images_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Results of one process.

    Parameters
    ----------
    first_image : int
        Index of its first image in the whole batch.
    outputs : tuple of array of int, shape (n, *output shape)
        For each output of the design.
    first_input_cycle, last_output_cycle : array of int, shape (n,)
        0 is the first rising clock edge after reset of this process.
    """

    first_image: int
    outputs: tuple[IntArray, ...]
    first_input_cycle: IntArray
    last_output_cycle: IntArray


@dataclass(slots=True)
class _Processes:
    """All simulators of a run: end together, and report the sum of their progress."""

    images: int
    progress: Callable[[SimulationProgress], None] | None
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    done: dict[int, int] = field(default_factory=dict)
    start: float = field(default_factory=time.perf_counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stopped: bool = False

    def launch(self, command: list[str]) -> subprocess.Popen[str]:
        with self.lock:
            if self.stopped:
                raise SimulationError("the simulation was stopped")
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            self.running.append(process)
        return process

    def report(self, shard: int, images: int) -> None:
        with self.lock:
            self.done[shard] = images
            if self.progress is not None:
                done = sum(self.done.values())
                self.progress(
                    SimulationProgress(
                        task="simulate",
                        done=done,
                        total=self.images,
                        images_per_second=done / (time.perf_counter() - self.start),
                    )
                )

    def stop(self) -> None:
        with self.lock:
            self.stopped = True
            for process in self.running:
                process.kill()


def simulate(
    design: Design,
    executable: Path,
    workdir: Path,
    images: IntArray,
    *,
    stalls: Stalls,
    seed: int,
    jobs: int,
    watchdog_cycles: int,
    progress: Callable[[SimulationProgress], None] | None,
    waveform: Path | None,
) -> list[Shard]:
    """Run `jobs` simulators at once on consecutive parts of `images`.

    Raises
    ------
    SimulationError
        If one of them fails; then all others are ended.
    """
    bounds = [len(images) * job // jobs for job in range(jobs + 1)]
    processes = _Processes(len(images), progress)
    settings = _settings(design, stalls, seed, watchdog_cycles, waveform)

    def run(job: int, folder: Path) -> Shard:
        first, last = bounds[job], bounds[job + 1]
        folder.mkdir()
        _write(design.input, folder / "input", images[first:last])
        outputs = [folder / f"output_{number}" for number in range(len(design.outputs))]
        names = ("input", "first_input", "last_output")
        arguments = settings | {name: str(folder / name) for name in names}
        arguments |= {path.name: str(path) for path in outputs}
        arguments["frames"] = str(last - first)
        command = [str(executable), *(f"{key}={value}" for key, value in arguments.items())]
        _follow(processes, job, command)
        processes.report(job, last - first)
        return Shard(
            first_image=first,
            outputs=tuple(
                _read(port, path) for port, path in zip(design.outputs, outputs, strict=True)
            ),
            first_input_cycle=np.fromfile(folder / "first_input", dtype="<u8").astype(np.int64),
            last_output_cycle=np.fromfile(folder / "last_output", dtype="<u8").astype(np.int64),
        )

    with tempfile.TemporaryDirectory(dir=workdir, prefix=".run-") as scratch:
        with ThreadPoolExecutor(jobs) as pool:
            try:
                futures = [pool.submit(run, job, Path(scratch) / str(job)) for job in range(jobs)]
                return [future.result() for future in futures]
            except BaseException:
                processes.stop()
                raise


def _settings(
    design: Design, stalls: Stalls, seed: int, watchdog_cycles: int, waveform: Path | None
) -> dict[str, str]:
    """Return the arguments of the driver that all processes share."""
    settings: dict[str, object] = {
        "frame_in": design.input.transfers_per_frame,
        "watchdog": watchdog_cycles,
        "waveform": waveform.absolute() if waveform else "",
    }
    for side, pause in (("gap", stalls.producer), ("stall", stalls.consumer)):
        begin, end = pause.thresholds
        settings |= {f"{side}_begin": begin, f"{side}_end": end}
    settings["gap_seed"], *stall_seeds = stalls.seeds(seed, len(design.outputs))
    for number, (port, state) in enumerate(zip(design.outputs, stall_seeds, strict=True)):
        settings |= {f"frame_out_{number}": port.transfers_per_frame, f"stall_seed_{number}": state}
    return {key: str(value) for key, value in settings.items()}


def _follow(processes: _Processes, job: int, command: list[str]) -> None:
    """Run one simulator and report its progress; raise if it fails."""
    process = processes.launch(command)
    assert process.stdout is not None  # it was opened as a pipe
    lines: list[str] = []
    for line in process.stdout:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "progress":
            processes.report(job, int(rest))
        else:
            lines.append(line.rstrip("\n"))
    status = process.wait()
    if status == FAILED and lines:
        raise SimulationError(lines[-1].removeprefix("error "))
    if status != 0:
        said = "\n".join(lines[-10:]) or "nothing"
        raise SimulationError(f"the simulator ended with exit status {status}; it said: {said}")


def _block(port: StreamPort) -> int:
    """Return how many images to convert at a time, to limit memory."""
    return max(1, BLOCK_BITS // (port.transfers_per_frame * port.width))


def _write(port: StreamPort, path: Path, images: IntArray) -> None:
    block = _block(port)
    with path.open("wb") as file:
        for start in range(0, len(images), block):
            to_words(port, port.to_transfers(images[start : start + block])).tofile(file)


def _read(port: StreamPort, path: Path) -> IntArray:
    words = np.fromfile(path, dtype="<u4").reshape(-1, words_per_transfer(port))
    block = _block(port) * port.transfers_per_frame
    parts = [
        port.from_transfers(from_words(port, words[start : start + block]))
        for start in range(0, len(words), block)
    ]
    return np.concatenate(parts)

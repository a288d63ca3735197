"""Bulk simulation: the design driven by compiled C++, without Python in the loop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from systolith.bench.stalls import Stalls
from systolith.build import Design
from systolith.network import IntArray

__all__ = ["NativeModel", "NativeResult", "build_native"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeResult:
    """Outputs and cycle counts of one bulk simulation.

    Parameters
    ----------
    outputs : array of int, shape (N, *design.output.tensor.shape)
        In the order of the images.
    first_input_cycle, last_output_cycle : array of int, shape (N,)
        When an image's first transfer was accepted and its last result left; 0 is the first rising
        clock edge after reset. Each process starts from reset: see `shard_starts`.
    shard_starts : tuple of int
        First image of each process; cycles count anew from there.
    cycles : int
        Simulated, over all processes, each up to and including its last output transfer.
    seconds : float
        Wall-clock time, without the build.
    """

    outputs: IntArray
    first_input_cycle: IntArray
    last_output_cycle: IntArray
    shard_starts: tuple[int, ...]
    cycles: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeModel:
    """A compiled design; made by :func:`build_native`.

    Parameters
    ----------
    design : Design
        What it computes.
    executable : Path
        The simulator.
    workdir : Path
        For the files of each run, which are removed after it.
    trace : bool
        Whether it can write waveforms.
    build_seconds : float
        What the build took; 0 if an earlier one was found.
    """

    design: Design
    executable: Path
    workdir: Path
    trace: bool
    build_seconds: float

    def run(
        self,
        images: IntArray,
        *,
        stalls: Stalls | None = None,
        seed: int = 0,
        jobs: int = 1,
        watchdog_cycles: int = 1_000_000,
        progress: Callable[[int, float], None] | None = None,
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
            Of the stalls.
        jobs : int
            Processes; each simulates consecutive images, from reset.
        watchdog_cycles : int
            This many cycles without a transfer at a port are a hang.
        progress : callable, optional
            Called as ``progress(images_done, images_per_second)`` about twice a second.
        waveform : Path, optional
            FST file to write; needs a model built with ``trace=True``, and one job.

        Raises
        ------
        ValueError
            If the images do not fit the design, or a waveform is impossible.
        SimulationError
            If the design hangs, breaks a rule of streams at its output, or transfers too much.
        """
        raise NotImplementedError


def build_native(
    design: Design,
    workdir: Path,
    *,
    trace: bool = False,
    threads: int = 1,
    progress: Callable[[str], None] | None = None,
) -> NativeModel:
    """Compile a design with Verilator, or find the model compiled before.

    Parameters
    ----------
    design : Design
        Its sources, and nothing else of it, decide whether an earlier build fits.
    workdir : Path
        Holds builds by content hash; may be shared by several processes at once.
    trace : bool
        Be able to write waveforms, which makes the model slower.
    threads : int
        Of one simulation. More than one pays for arrays of about 32x32 only; `jobs` of
        :meth:`NativeModel.run` is the better use of cores.
    progress : callable, optional
        Called with a line of text when a build begins.

    Raises
    ------
    MissingToolError
        Before anything is built.
    BuildError
        If Verilator or the compiler refuses the design.
    """
    raise NotImplementedError

"""Verification with cocotb and bulk simulation, against the PyTorch model in integer mode."""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from systolith.bench import NativeResult, SimulationProgress, compile_native
from systolith.emit import Design, write_design
from systolith.network import INPUT, IntArray, IntegerNetwork, content_hash
from systolith.plan import NetworkPlan, plan_network
from systolith.stages.isolate import isolate, single_layers
from systolith.stages.listener import Progress
from systolith.verify import Verification, compare, verify

__all__ = ["Bulk", "bulk_simulation", "layer_checks", "network_check", "write_waveform"]

LONGEST_NAME = 100
"""Letters of a layer's name in a path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """Result of a bulk simulation.

    Attributes
    ----------
    images, mismatches : int
        Images simulated, and wrong output values among them.
    first : str or None
        The first wrong value in words.
    cycles_predicted, cycles_simulated : int
        From the first input to the last output transfer, summed over processes.
    classes : array of int, shape (N,), or None
        Index of the greatest value, if there is one output.
    seconds : float
        Wall-clock time of the simulation.
    """

    images: int
    mismatches: int
    first: str | None
    cycles_predicted: int
    cycles_simulated: int
    classes: NDArray[np.int64] | None
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether every output and the cycle count are as predicted."""
        return not self.findings

    @property
    def findings(self) -> list[str]:
        """What is not as predicted, in words."""
        found = []
        if self.first is not None:
            found.append(f"{self.first} ({self.mismatches} wrong values)")
        if self.cycles_predicted != self.cycles_simulated:
            found.append(
                f"{self.cycles_simulated} cycles simulated, but {self.cycles_predicted} predicted"
            )
        return found


def network_check(
    design: Design,
    images: IntArray,
    reference: Mapping[str, IntArray],
    *,
    workdir: Path,
    seed: int,
    network: IntegerNetwork,
    progress: Progress,
) -> Verification:
    """Verify a whole design under every pattern of stalls; see :func:`systolith.verify.verify`."""
    return verify(
        design,
        images,
        reference,
        workdir=workdir,
        seed=seed,
        network_hash=content_hash(network),
        progress=lambda now: progress(now.done, now.total, f"whole network, {now.text}"),
    )


def layer_checks(
    plan: NetworkPlan,
    images: IntArray,
    reference: Mapping[str, IntArray],
    *,
    folder: Path,
    workdir: Path,
    seed: int,
    progress: Progress,
) -> dict[str, Verification]:
    """Verify each engine with one input alone, fed with what the reference says its input is.

    Additions have two inputs and are left out: their streams are watched in the whole network.

    Parameters
    ----------
    plan : NetworkPlan
        The whole network; engines keep their array shapes.
    images : array of int, shape (N, ...)
        Only their number counts: inputs are the reference's activations.
    reference : mapping of str to array of int
        The reference's trace.
    folder : Path
        For the Verilog of the single layers.
    workdir : Path
        Holds simulators.
    """
    network = plan.network
    arrays = {engine.name: engine.array for engine in plan.convolutions}
    names = single_layers(network)

    def designed(name: str) -> Alone:
        alone, source = isolate(network, name)
        inputs = reference[source][: len(images)]
        outputs = {INPUT: inputs, name: reference[name][: len(images)]}
        single = plan_network(alone, arrays={name: arrays[name]} if name in arrays else {})
        return Alone(name, write_design(single, folder / folder_name(name)), inputs, outputs)

    def verified(alone: Alone) -> Verification:
        return verify(
            alone.design, alone.inputs, alone.outputs, workdir=workdir, seed=seed, quick=True
        )

    # Emission is Python and stays in this thread; verification waits for compilers and simulators.
    singles = [designed(name) for name in names]
    results = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, result in zip(names, pool.map(verified, singles), strict=True):
            results[name] = result
            progress(len(results), len(names), f"layer {name} alone")
    return results


def folder_name(layer: str) -> str:
    """Name a folder after a layer; names of files are short, those of layers need not be."""
    if len(layer) <= LONGEST_NAME:
        return layer
    return f"{layer[:LONGEST_NAME]}-{hashlib.sha256(layer.encode()).hexdigest()[:8]}"


class Alone(NamedTuple):
    """One layer with its own design, what goes in and what must come out."""

    name: str
    design: Design
    inputs: IntArray
    outputs: dict[str, IntArray]


def bulk_simulation(
    design: Design,
    plan: NetworkPlan,
    images: IntArray,
    reference: Mapping[str, IntArray],
    *,
    workdir: Path,
    jobs: int,
    progress: Progress,
    quick: bool = False,
) -> Bulk:
    """Simulate many images natively and compare every output and the number of cycles.

    If `quick`, time is saved in compiling, at the expense of simulation.
    """
    progress(0, len(images), "compiling the design with Verilator")
    model = compile_native(design, workdir, quick=quick)

    def report(now: SimulationProgress) -> None:
        progress(now.done, now.total, f"{now.images_per_second:.0f} images/s")

    result = model.run(images, jobs=jobs, progress=report)
    wrong = [
        np.count_nonzero(values != reference[port.layer])
        for port, values in zip(design.outputs, result.outputs, strict=True)
    ]
    first = compare(design, result.outputs, reference)
    return Bulk(
        images=len(images),
        mismatches=int(sum(wrong)),
        first=None if first is None else str(first),
        cycles_predicted=sum(plan.cycles(count) for count in _shard_sizes(result, len(images))),
        cycles_simulated=_cycles(result, len(images)),
        classes=_classes(result.output) if len(design.outputs) == 1 else None,
        seconds=result.seconds,
    )


def write_waveform(design: Design, image: IntArray, path: Path, *, workdir: Path) -> None:
    """Simulate one image (1, ...) and write an FST file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    compile_native(design, workdir, trace=True).run(image, waveform=path)


def _classes(outputs: IntArray) -> NDArray[np.int64]:
    classes: NDArray[np.int64] = outputs.reshape(len(outputs), -1).argmax(axis=1)
    return classes


def _shard_sizes(result: NativeResult, images: int) -> list[int]:
    starts = [*result.shard_starts, images]
    return [end - start for start, end in zip(starts, starts[1:], strict=False)]


def _cycles(result: NativeResult, images: int) -> int:
    """Cycles from first input to last output, summed over the processes."""
    starts = np.array(result.shard_starts)
    ends = np.append(starts[1:], images) - 1
    spans = result.last_output_cycle[ends] - result.first_input_cycle[starts] + 1
    return int(spans.sum())

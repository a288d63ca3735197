"""Verification with cocotb, layer by layer, and bulk simulation, against the PyTorch reference."""

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from systolith.bench import NativeResult, SimulationProgress, compile_native
from systolith.emit import Design, write_design
from systolith.foundation import Progress, ProgressCallback
from systolith.network import (
    INPUT,
    Add,
    Concat,
    Flatten,
    IntArray,
    IntegerNetwork,
    Layer,
    Multiply,
    content_hash,
    gives_class,
)
from systolith.plan import NetworkPlan, plan_network
from systolith.verify import Verification, compare, verify

__all__ = [
    "BulkResult",
    "isolate_layer",
    "list_additions",
    "list_single_layers",
    "simulate_images",
    "verify_layers",
    "verify_network",
    "write_waveform",
]

LONGEST_NAME = 100
"""Longest name of a folder, in characters."""
QUICK_CYCLES = 1_000_000
"""Simulators of fewer cycles are compiled without optimization.

Optimizing two networks of seven layers took 5 s longer, and saved 2 s in 1,000,000 cycles.
"""
STALLED = 16
"""Cycles of a verification relative to a run without stalls: eight patterns of stalls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult:
    """Result of a bulk simulation.

    Attributes
    ----------
    images, mismatches : int
        Number of simulated images, and of wrong output values.
    first : str or None
        Description of the first wrong value.
    cycles_predicted, cycles_simulated : int
        Cycles from the first input to the last output transfer, summed over processes.
    classes : array of int, shape (N,), or None
        Index of the greatest output value of each image, if the network has one output.
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
        """Whether every output and the number of cycles are as predicted."""
        return not self.findings

    @property
    def findings(self) -> list[str]:
        """Descriptions of everything that is not as predicted."""
        findings = []
        if self.first is not None:
            findings.append(f"{self.first} ({self.mismatches} wrong values)")
        if self.cycles_predicted != self.cycles_simulated:
            findings.append(
                f"{self.cycles_simulated} cycles simulated, but {self.cycles_predicted} predicted"
            )
        return findings


def list_single_layers(network: IntegerNetwork) -> list[str]:
    """Return the names of layers with an engine and one input, which can stand alone."""
    return [
        layer.name
        for layer in network.layers
        if len(layer.inputs) == 1 and not isinstance(layer, Flatten)
    ]


def list_additions(network: IntegerNetwork) -> list[str]:
    """Return the names of layers with several inputs; a design has one, so none stands alone."""
    return [layer.name for layer in network.layers if len(layer.inputs) > 1]


def isolate_layer(network: IntegerNetwork, name: str) -> tuple[IntegerNetwork, str]:
    """Cut one layer out of a network, together with a flattening before it.

    Parameters
    ----------
    network : IntegerNetwork
    name : str
        One of :func:`list_single_layers`.

    Returns
    -------
    network : IntegerNetwork
        The layer alone, under its own name.
    source : str
        Name of the tensor that the layer reads in the whole network.
    """
    layer = network[name]
    source = layer.inputs[0]
    layers: tuple[Layer, ...]
    if source != INPUT and isinstance(flatten := network[source], Flatten):
        layers = (replace(flatten, input=INPUT), layer)
        source = flatten.input
    else:
        assert not isinstance(layer, Add | Multiply | Concat), "it has several inputs"
        layers = (replace(layer, input=INPUT),)
    alone = IntegerNetwork(
        name=f"{network.name}_{name}", input=network.tensors[source], layers=layers
    )
    return alone, source


def verify_network(
    design: Design,
    images: IntArray,
    reference: Mapping[str, IntArray],
    *,
    workdir: Path,
    seed: int,
    network: IntegerNetwork,
    cycles: int,
    progress: ProgressCallback,
) -> Verification:
    """Verify a whole design under every pattern of stalls; see :func:`systolith.verify.verify`.

    `cycles` are those of all images without stalls.
    """
    return verify(
        design,
        images,
        reference,
        workdir=workdir,
        seed=seed,
        network_hash=content_hash(network),
        quick=STALLED * cycles < QUICK_CYCLES,
        progress=lambda now: progress(replace(now, text=f"whole network, {now.text}")),
    )


def verify_layers(
    plan: NetworkPlan,
    images: IntArray,
    reference: Mapping[str, IntArray],
    *,
    folder: Path,
    workdir: Path,
    seed: int,
    progress: ProgressCallback,
) -> dict[str, Verification]:
    """Verify each engine with one input alone, driven with its input in the reference.

    Additions have two inputs and are left out; their streams are checked in the whole network.

    Parameters
    ----------
    plan : NetworkPlan
        The whole network; engines keep their array shapes.
    images : array of int, shape (N, ...)
        Only their number matters: inputs are activations of the reference.
    reference : mapping of str to array of int
        Outputs of all layers.
    folder : Path
        Folder for the Verilog of single layers.
    workdir : Path
        Holds simulators.
    """
    network = plan.network
    arrays = {engine.name: engine.array for engine in plan.convolutions}
    names = list_single_layers(network)

    def generate(name: str) -> _SingleLayer:
        layer, source = isolate_layer(network, name)
        inputs = reference[source][: len(images)]
        outputs = {INPUT: inputs, name: reference[name][: len(images)]}
        single = plan_network(layer, arrays={name: arrays[name]} if name in arrays else {})
        return _SingleLayer(write_design(single, folder / _folder_name(name)), inputs, outputs)

    def check(single: _SingleLayer) -> Verification:
        return verify(
            single.design, single.inputs, single.outputs, workdir=workdir, seed=seed, quick=True
        )

    # Emission is Python and stays in this thread; verification waits for compilers and simulators.
    singles = [generate(name) for name in names]
    results = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, result in zip(names, pool.map(check, singles), strict=True):
            results[name] = result
            text = f"layer {name} alone"
            progress(Progress(task="verify", done=len(results), total=len(names), text=text))
    return results


def _folder_name(layer: str) -> str:
    """Name a folder after a layer; names of layers may be too long for a file system."""
    if len(layer) <= LONGEST_NAME:
        return layer
    return f"{layer[:LONGEST_NAME]}-{hashlib.sha256(layer.encode()).hexdigest()[:8]}"


class _SingleLayer(NamedTuple):
    """The design of one layer, its inputs and its expected outputs."""

    design: Design
    inputs: IntArray
    outputs: dict[str, IntArray]


def simulate_images(
    design: Design,
    plan: NetworkPlan,
    images: IntArray,
    reference: Mapping[str, IntArray],
    *,
    workdir: Path,
    jobs: int,
    progress: ProgressCallback,
    quick: bool = False,
) -> BulkResult:
    """Simulate many images natively and compare every output and the number of cycles.

    With `quick`, and for few cycles, compiling takes less time and simulation more.
    """
    quick = quick or plan.cycles(len(images)) < QUICK_CYCLES
    text = "compiling the design with Verilator"
    progress(Progress(task="simulate", done=0, total=len(images), text=text))
    model = compile_native(design, workdir, quick=quick)

    def report(now: SimulationProgress) -> None:
        progress(replace(now, text=f"{now.images_per_second:.0f} images/s"))

    result = model.run(images, jobs=jobs, progress=report)
    wrong = [
        np.count_nonzero(values != reference[port.layer])
        for port, values in zip(design.outputs, result.outputs, strict=True)
    ]
    first = compare(design, result.outputs, reference)
    return BulkResult(
        images=len(images),
        mismatches=int(sum(wrong)),
        first=None if first is None else str(first),
        cycles_predicted=sum(plan.cycles(count) for count in _shard_sizes(result, len(images))),
        cycles_simulated=_cycles(result, len(images)),
        classes=_classes(plan.network, result.output) if len(design.outputs) == 1 else None,
        seconds=result.seconds,
    )


def write_waveform(design: Design, image: IntArray, path: Path, *, workdir: Path) -> None:
    """Simulate one image (1, ...) and write an FST file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    compile_native(design, workdir, trace=True).run(image, waveform=path)


def _classes(network: IntegerNetwork, outputs: IntArray) -> NDArray[np.int64] | None:
    """Give the class of each image; None if there is one for each pixel."""
    flat = outputs.reshape(len(outputs), -1)
    if gives_class(network, network.outputs[0]):
        return flat[:, 0] if flat.shape[1] == 1 else None
    classes: NDArray[np.int64] = flat.argmax(axis=1)
    return classes


def _shard_sizes(result: NativeResult, images: int) -> list[int]:
    starts = [*result.shard_starts, images]
    return [end - start for start, end in zip(starts, starts[1:], strict=False)]


def _cycles(result: NativeResult, images: int) -> int:
    """Count cycles from the first input to the last output, summed over processes."""
    starts = np.array(result.shard_starts)
    ends = np.append(starts[1:], images) - 1
    spans = result.last_output_cycle[ends] - result.first_input_cycle[starts] + 1
    return int(spans.sum())

"""Generate and simulate whole networks; write what was measured."""

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.engine.networks import (
    NETWORKS,
    Bench,
    add_data_arguments,
    bench_of,
    kept,
    test_images,
)
from benchmarks.results import write_result
from systolith.bench import NativeResult, compile_native
from systolith.emit import write_design
from systolith.frontend import mirror
from systolith.network import IntArray, content_hash
from systolith.plan import NetworkPlan, plan_network

RESULTS = Path(__file__).parent / "results"
MULTIPLIERS = 128


def measure(name: str, bench: Bench, images: int | None, jobs: int, work: Path) -> dict[str, Any]:
    """Plan, generate, build, simulate, compare.

    Raises
    ------
    AssertionError
        If a value or the number of cycles is not as predicted.
    """
    network, origin = kept(name)
    seconds: dict[str, float] = {}
    processor: dict[str, float] = {}

    @contextmanager
    def timed(step: str) -> Iterator[None]:
        start, busy = time.perf_counter(), _processor_seconds()
        yield
        seconds[step] = round(time.perf_counter() - start, 1)
        processor[step] = round(_processor_seconds() - busy, 1)

    with timed("plan"):
        plan = plan_network(network, multipliers=MULTIPLIERS)
    with timed("generate"):
        design = write_design(plan, work / name)
    with timed("build"):
        model = compile_native(design, work / "simulators")
    inputs, labels = test_images(network, origin, bench, images)
    with timed("reference"):
        expected = mirror(network).trace(inputs)[network.outputs[0]]
    with timed("simulate"):
        result = _simulate(name, model, inputs, jobs)
    wrong = int(np.count_nonzero(result.output != expected))
    simulated, predicted = _cycles(result, len(inputs), plan)
    assert wrong == 0, f"{name}: {wrong} values differ from the reference"
    assert simulated == predicted, f"{name}: {simulated} cycles, predicted {predicted}"
    interval = np.diff(result.last_output_cycle)[-2 if len(inputs) > 2 else -1]
    classes = result.output.reshape(len(inputs), -1).argmax(1)
    return {
        "network": name,
        "network_hash": content_hash(network),
        "images": len(inputs),
        "values_compared": int(expected.size),
        "values_wrong": wrong,
        "accuracy_rtl": None if labels is None else float((classes == labels).mean()),
        "accuracy_model": origin.accuracy,
        "multipliers": plan.multipliers,
        "products_per_cycle": sum(engine.macs_per_cycle for engine in plan.convolutions),
        "macs_dense": plan.macs_dense,
        "macs_kept": plan.macs_kept,
        "cycles_per_frame": int(interval),
        "latency_cycles": int(result.last_output_cycle[0] - result.first_input_cycle[0] + 1),
        "cycles_predicted": predicted,
        "cycles_simulated": simulated,
        "utilization": _utilization(plan, int(interval)),
        "jobs": len(result.shard_starts),
        "cycles_per_second": round(result.cycles / result.seconds),
        "images_per_second": round(len(inputs) / result.seconds, 2),
        "seconds": seconds,
        "processor_seconds": processor,
    }


def _processor_seconds() -> float:
    """Seconds of all cores that this process and its finished children took."""
    return sum(os.times()[:4])


def _utilization(plan: NetworkPlan, interval: int) -> float:
    """Kept products of a frame by what the multipliers could do in the simulated interval."""
    capacity = sum(engine.macs_per_cycle for engine in plan.convolutions)
    return plan.macs_kept / (capacity * interval)


def _simulate(name: str, model: Any, inputs: IntArray, jobs: int) -> NativeResult:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} images"),
        TextColumn("{task.fields[speed]:.1f} images/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as bar:
        task = bar.add_task(name, total=len(inputs), speed=0.0)
        return model.run(
            inputs,
            jobs=jobs,
            progress=lambda now: bar.update(task, completed=now.done, speed=now.images_per_second),
        )


def _cycles(result: NativeResult, images: int, plan: NetworkPlan) -> tuple[int, int]:
    """Simulated and predicted cycles, summed over processes."""
    starts = np.array(result.shard_starts)
    ends = np.append(starts[1:], images) - 1
    spans = result.last_output_cycle[ends] - result.first_input_cycle[starts] + 1
    return int(spans.sum()), sum(plan.cycles(int(count)) for count in ends - starts + 1)


def main() -> None:
    """Measure the networks that are named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("names", nargs="+", choices=NETWORKS, metavar="NAME")
    parser.add_argument("--images", default="100", help="how many, or all")
    parser.add_argument("--jobs", type=int, default=2, help="processes of the simulation")
    add_data_arguments(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    images = None if arguments.images == "all" else int(arguments.images)
    for name in arguments.names:
        row = measure(name, bench_of(arguments), images, arguments.jobs, arguments.work / "rtl")
        command = f"python -m benchmarks.engine {name} --images {arguments.images}"
        write_result(RESULTS / f"{name}.json", command, row)


if __name__ == "__main__":
    main()

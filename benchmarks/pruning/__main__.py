"""Measure pruning methods on CIFAR-10 and write result files."""

import argparse
import fnmatch
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.pruning import (
    data_free,
    filters,
    particle_filter,
    post_training,
    quantized,
    ranking,
    search_speed,
    steps,
    weights,
)
from benchmarks.pruning.workbench import Workbench


def main() -> None:
    measurements: dict[str, Callable[[Workbench], None]] = {}
    for case in weights.cases():
        measurements[case.name] = lambda bench, case=case: bench.record(
            case.name, weights.run(case, bench)
        )
    for method in filters.METHODS:
        name = f"{filters.NETWORK}-{method}"
        measurements[name] = lambda bench, name=name, method=method: bench.record(
            name, filters.run(method, bench)
        )
    measurements["vgg-anwar"] = lambda bench: bench.record("vgg-anwar", particle_filter.run(bench))
    measurements["resnet20-ranking"] = lambda bench: bench.record(
        "resnet20-ranking", ranking.run(bench)
    )
    measurements["search-speed"] = lambda bench: bench.record(
        "search-speed", search_speed.run(bench)
    )
    measurements["steps"] = lambda bench: bench.record("steps", steps.run(bench))
    measurements[data_free.NAME] = lambda bench: bench.record(data_free.NAME, data_free.run(bench))
    measurements[post_training.NAME] = post_training.run
    measurements[quantized.NAME] = quantized.post_training
    measurements["agreement"] = lambda bench: bench.record("agreement", quantized.agreement(bench))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pruning", description=__doc__)
    parser.add_argument(
        "names", nargs="+", metavar="NAME", help=f"with wildcards: {', '.join(measurements)}"
    )
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10: .npz or folder")
    parser.add_argument("--weights", type=Path, required=True, help="folder of trained weights")
    parser.add_argument("--work", type=Path, default=Path("out/benchmarks/pruning"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--epochs-factor", type=float, default=1.0, help="to try a command out")
    arguments = parser.parse_args()
    chosen = [name for pattern in arguments.names for name in fnmatch.filter(measurements, pattern)]
    if not chosen:
        parser.error(f"NAME must match one of {', '.join(measurements)}, got {arguments.names}")
    torch.set_num_threads(arguments.threads)
    bench = Workbench(
        data_path=arguments.data,
        weights=arguments.weights,
        folder=arguments.work,
        scale=arguments.epochs_factor,
    )
    for name in chosen:
        bench.seconds = {}
        measurements[name](bench)


if __name__ == "__main__":
    main()

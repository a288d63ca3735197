"""How many points the hardware model of a search looks at in a second of one core.

python -m benchmarks.tuning.hardware
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.results import write_result
from systolith.config import check_experiment, read_content
from systolith.models import ResNet8
from systolith.stages.software.factories import make_model
from systolith.tune import DesignSpace, HardwareModel

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
RESULTS = Path(__file__).parent / "results"
SHAPES = {"digits_tune": (1, 8, 8), "resnet8_tune": (3, 32, 32)}
"""Of images; random ones do, as widths only count."""


def measured(name: str, points: int, seed: int) -> dict[str, Any]:
    """Look at random points of an example's space; the first time at each layer counts, too."""
    path = EXAMPLES / f"{name}.toml"
    experiment = check_experiment(read_content(path), path)
    resnet = experiment.model.factory == "resnet8"
    model = ResNet8(seed=0) if resnet else make_model(experiment.model, 0, EXAMPLES)
    space = DesignSpace.of(experiment, model)
    shape = SHAPES[name]
    images = torch.rand(64, *shape, generator=torch.Generator().manual_seed(seed))
    hardware, rng = HardwareModel(space, model.eval(), images), np.random.default_rng(seed)
    drawn = [
        {axis.name: axis.options[rng.integers(len(axis.options))] for axis in space.axes}
        for _ in range(points)
    ]
    seconds, feasible = [], 0
    for point in drawn:
        start = time.process_time()
        feasible += hardware.estimate(point) is not None
        seconds.append(time.process_time() - start)
    later = seconds[points // 2 :]
    return {
        "space": name,
        "points": points,
        "feasible": feasible,
        "per_second": round(points / sum(seconds)),
        "per_second_later": round(len(later) / sum(later)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measured(name, arguments.points, arguments.seed) for name in SHAPES]
    Console().print(rows)
    command = f"python -m benchmarks.tuning.hardware --points {arguments.points}"
    write_result(RESULTS / "hardware.json", command, {"spaces": rows})


if __name__ == "__main__":
    main()

"""Run all measurements and print tables; ratios come from within this one run."""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.layers import single_convolution
from systolith.bench import build_native
from systolith.build import write_design
from systolith.network import forward
from systolith.plan import ArrayShape, plan_network

FRAMES = 20
CASES: dict[str, tuple[tuple[int, int] | None, ArrayShape]] = {
    "dense": (None, ArrayShape(rows=12, columns=8)),
    "4-out-of-8": ((4, 8), ArrayShape(rows=12, columns=8)),
    "2-out-of-8": ((2, 8), ArrayShape(rows=12, columns=8)),
    "1-out-of-8": ((1, 8), ArrayShape(rows=12, columns=8)),
    "1-out-of-4": ((1, 4), ArrayShape(rows=12, columns=8)),
}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Generate, simulate and check one convolution of 32 to 32 channels on 16x16 pixels."""
    kept, array = CASES[name]
    network = single_convolution(channels=32, filters=32, size=16, kept=kept)
    plan = plan_network(network, arrays={"conv": array})
    start = time.perf_counter()
    design = write_design(plan, folder / name)
    emitted = time.perf_counter() - start
    model = build_native(design, folder / "builds")
    images = np.random.default_rng(1).integers(0, 256, (FRAMES, *network.input.shape))
    result = model.run(images)
    assert np.array_equal(result.output, forward(network, images)["conv"]), name
    cycles = int(result.last_output_cycle[-1] - result.first_input_cycle[0] + 1)
    assert cycles == plan.cycles(FRAMES), (
        f"{name}: {cycles} cycles, predicted {plan.cycles(FRAMES)}"
    )
    return {
        "name": name,
        "multipliers": plan.multipliers,
        "cycles": cycles,
        "cycles_per_frame": plan.cycles_per_frame,
        "utilization": plan.utilization,
        "emit_seconds": emitted,
        "build_seconds": model.build_seconds,
        "cycles_per_second": result.cycles / result.seconds,
    }


def main() -> None:
    """Measure everything; ``--json FILE`` also writes the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(name, Path(folder)) for name in CASES]
    table = Table(title=f"3x3 convolution, 32 to 32 channels, 16x16 pixels, {FRAMES} frames")
    for column in ("pattern", "array", "cycles", "of dense", "busy", "emit", "build"):
        table.add_column(column, justify="left" if column == "pattern" else "right", no_wrap=True)
    table.add_column("Mcycle/s", justify="right")
    for row in rows:
        table.add_row(
            row["name"],
            str(row["multipliers"]),
            f"{row['cycles']:,}",
            f"{row['cycles'] / rows[0]['cycles']:.3f}",
            f"{row['utilization']:.0%}",
            f"{row['emit_seconds']:.1f} s",
            f"{row['build_seconds']:.1f} s",
            f"{row['cycles_per_second'] / 1e6:.2f}",
        )
    Console().print(table)
    if arguments.json:
        machine = f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}"
        arguments.json.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""What the engine of each operator takes of an ECP5, and what the planner estimates.

python -m benchmarks.physical.operators
"""

import argparse
import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.physical.costs import RESULT, read_stages
from benchmarks.physical.samples import MOVING, OPERATORS, Size
from benchmarks.results import write_result
from systolith.build import OTHER, CellCounts, cells_by_engine, estimate_cells
from systolith.devices import DEVICES
from systolith.emit import TOP, emit_verilog
from systolith.gateware import Technology
from systolith.network import IntegerNetwork, Linear, Tensor
from systolith.plan import NetworkPlan, StagePlan, plan_network, signal_name

__all__ = ["SIZES", "operator_engines", "plan_operator", "sizes_of", "synthesize_operator"]

COMMAND = "python -m benchmarks.physical.operators"
DEVICE = DEVICES["ecp5-85f"]
MULTIPLIERS = 16
HELD_BACK = 3
"""One of this many measurements is held back."""
OPERATOR = "op"
"""Name of the layer."""


SIZES = (
    Size(),
    Size(channels=32, pixels=8, bits=8),
    Size(channels=8, pixels=12, bits=4),
    Size(channels=24, pixels=8, bits=6, pace=4),
)
"""The first is the one of the table."""


def sizes_of(name: str) -> tuple[Size, ...]:
    """Sizes at which an operator is synthesized.

    PE arrays and large windows have no time to spare. Thresholds of 8 bits fill many block RAMs.
    """
    if name.startswith(("Conv2d", "Linear", "AvgPool2d 3x3")):
        sizes = (SIZES[0], SIZES[2], replace(SIZES[3], pace=None))
    else:
        sizes = SIZES if name in MOVING else (SIZES[0], *SIZES[2:])
    return tuple(size for size in sizes if size.bits < 8 or "thresholds" not in name)


def plan_operator(name: str, size: Size) -> NetworkPlan:
    """Plan a network of one operator."""
    layer = OPERATORS[name](size)
    shape: tuple[int, ...] = (size.channels, size.pixels, size.pixels)
    if isinstance(layer, Linear):
        shape = shape[:1]
    network = IntegerNetwork(input=Tensor(shape, size.act), layers=(layer,))
    cycles = None if size.pace is None else size.pace * size.pixels**2
    return plan_network(network, multipliers=MULTIPLIERS, cycles=cycles)


def synthesize_operator(plan: NetworkPlan, folder: Path) -> dict[str, CellCounts]:
    """Count the cells of each stage after Yosys' synthesis for ECP5."""
    verilog = emit_verilog(plan, technology=Technology.ECP5)
    estimate_cells(verilog, TOP, DEVICE, folder)
    return cells_by_engine(folder / f"{TOP}.json")


def operator_engines(*, held_back: bool) -> Iterator[tuple[StagePlan, Mapping[str, int]]]:
    """Yield the stages of the measured operators, with what they were found to take.

    Parameters
    ----------
    held_back : bool
        Whether to yield those that the models are not fitted to, instead of those that they are.
    """
    for row in read_stages():
        if row["held_back"] is held_back:
            size = Size(**{field.name: row[field.name] for field in fields(Size)})
            stages = plan_operator(row["operator"], size).stages
            yield next(stage for stage in stages if stage.name == row["stage"]), row["found"]


def _measure(plan: NetworkPlan, own: Mapping[str, Any], folder: Path) -> Iterator[dict[str, Any]]:
    counts = synthesize_operator(plan, folder)
    # Cells that are named after ports of the design are the operator's, which drives them.
    counts[OPERATOR] = counts.get(OPERATOR, CellCounts()) + counts.pop(OTHER, CellCounts())
    for stage in plan.stages:
        found = asdict(counts.get(signal_name(stage.name), CellCounts()))
        yield {**own, "stage": stage.name, "found": found, "planned": _planned(plan, stage)}


def _planned(plan: NetworkPlan, stage: StagePlan) -> dict[str, int]:
    resources = plan.resources_of(stage)
    return {kind: getattr(resources, kind) for kind in ("luts", "flip_flops", "dsps", "block_rams")}


def main() -> None:
    """Synthesize operators at all sizes, if their Verilog is not that of a known row; plan all."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(OPERATORS))
    names = parser.parse_args().names or list(OPERATORS)
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            for size in sizes_of(name):
                plan = plan_operator(name, size)
                verilog = emit_verilog(plan, technology=Technology.ECP5)
                key = hashlib.sha256(verilog.encode()).hexdigest()
                own = {"operator": name, **asdict(size), "verilog": key}
                stages = {stage.name: stage for stage in plan.stages}
                measured = [
                    {**row, "planned": _planned(plan, stages[row["stage"]])}
                    for row in read_stages()
                    if own.items() <= row.items()
                ]
                measured = measured or list(_measure(plan, own, Path(folder) / "synthesis"))
                _keep(own, measured)
                print(name, size, measured[-1]["found"], measured[-1]["planned"], flush=True)


def _keep(own: Mapping[str, Any], measured: list[dict[str, Any]]) -> None:
    """Write the rows of an operator at a size in place of those before, beside all others.

    The models are not fitted to every third measurement, which is held back.
    """
    order = [(name, asdict(size)) for name in OPERATORS for size in sizes_of(name)]
    measured = [
        {**row, "held_back": order.index(_place(row)) % HELD_BACK == HELD_BACK - 1}
        for row in measured
    ]
    kept = [row for row in read_stages() if _place(row) in order and _place(row) != _place(own)]
    rows = sorted([*kept, *measured], key=lambda row: order.index(_place(row)))
    write_result(RESULT, COMMAND, {"device": DEVICE.name, "stages": rows})


def _place(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Operator and size of a row."""
    return row["operator"], {field.name: row.get(field.name) for field in fields(Size)}


if __name__ == "__main__":
    main()

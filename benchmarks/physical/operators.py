"""What the engine of each operator takes of an ECP5, and what the planner estimates.

python -m benchmarks.physical.operators
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.physical.costs import RESULT
from benchmarks.results import write_result
from systolith.build import OTHER, CellCounts, cells_by_engine, estimate_cells
from systolith.devices import DEVICES
from systolith.emit import TOP, emit_verilog
from systolith.gateware import Technology
from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    DepthToSpace,
    IntArray,
    IntegerNetwork,
    KOutOfN,
    Layer,
    Linear,
    MaxPool2d,
    Pad2d,
    Pattern,
    Requantize,
    SelectChannels,
    SpaceToDepth,
    Table,
    Tensor,
    Upsample,
)
from systolith.plan import NetworkPlan, plan_network, signal_name

__all__ = ["MOVING", "OPERATORS", "Size", "plan_operator", "synthesize_operator"]

COMMAND = "python -m benchmarks.physical.operators"
DEVICE = DEVICES["ecp5-85f"]
MULTIPLIERS = 16
OPERATOR = "op"
"""Name of the layer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Size of an operator's input.

    Parameters
    ----------
    channels, pixels, bits : int
        Channels, height and width, and bits of a value.
    """

    channels: int = 16
    pixels: int = 16
    bits: int = 8

    @property
    def act(self) -> ActType:
        """Type of the values."""
        return ActType(bits=self.bits, signed=True)


SIZES = (Size(), Size(channels=32, pixels=8), Size(channels=8, pixels=12, bits=4))
"""The first is the one of the table."""
Make = Callable[[Size], Layer]


def _scaling() -> Requantize:
    return Requantize(multiplier=np.array([19661]), shift=np.array([20]))


def _weights(*shape: int) -> IntArray:
    return np.random.default_rng(0).integers(-100, 101, shape)


def _conv(size: Size, **changes: Any) -> Conv2d:
    channels = size.channels
    conv = Conv2d(
        name="op",
        input="input",
        weight=_weights(channels, channels // changes.get("groups", 1), 3, 3),
        bias=np.zeros(channels, int),
        requantize=_scaling(),
        output=size.act,
        padding=(1, 1, 1, 1),
    )
    return replace(conv, **changes)


def _pruned(size: Size) -> Conv2d:
    conv, pattern = _conv(size), Pattern(select=KOutOfN(1, 4))
    mask = pattern.best_mask(np.abs(conv.weight))
    return replace(conv, weight=conv.weight * mask, mask=mask, pattern=pattern)


def _linear(size: Size) -> Linear:
    return Linear(
        name="op",
        input="input",
        weight=_weights(size.channels, size.channels),
        bias=np.zeros(size.channels, int),
        requantize=_scaling(),
        output=size.act,
    )


def _add(size: Size) -> Add:
    return Add(
        name="op",
        inputs=("input", "input"),
        multipliers=(77, 101),
        requantize=_scaling(),
        output=size.act,
    )


def _average(size: Size) -> AvgPool2d:
    return AvgPool2d(
        name="op",
        input="input",
        requantize=_scaling(),
        output=size.act,
        kernel_size=(2, 2),
        stride=(2, 2),
    )


def _table(size: Size) -> Table:
    codes = np.arange(size.act.low, size.act.high + 1)
    values = np.rint(size.act.high * np.tanh(2 * codes / size.act.high)).astype(int)
    return Table(name="op", input="input", values=values, output=size.act)


def _shuffle(size: Size) -> SelectChannels:
    order = np.arange(size.channels).reshape(2, -1).T.ravel()
    return SelectChannels(name="op", input="input", channels=tuple(order.tolist()))


WEIGHING: Mapping[str, Make] = {
    "Conv2d, dense 3x3": _conv,
    "Conv2d, 1-of-4 3x3": _pruned,
    "Conv2d, depthwise 3x3": lambda size: _conv(size, groups=size.channels),
    "Conv2d, dense 3x3, dilation 2": lambda size: _conv(
        size, dilation=(2, 2), padding=(2, 2, 2, 2)
    ),
    "Linear": _linear,
    "Add": _add,
    "AvgPool2d 2x2": _average,
}
MOVING: Mapping[str, Make] = {
    "MaxPool2d 2x2": lambda size: MaxPool2d(
        name="op", input="input", kernel_size=(2, 2), stride=(2, 2)
    ),
    "Table": _table,
    "Concat": lambda size: Concat(name="op", inputs=("input", "input")),
    "SelectChannels, half": lambda size: SelectChannels(
        name="op", input="input", channels=tuple(range(size.channels // 2))
    ),
    "SelectChannels, shuffle": _shuffle,
    "DepthToSpace 2": lambda size: DepthToSpace(name="op", input="input", block=2),
    "SpaceToDepth 2": lambda size: SpaceToDepth(name="op", input="input", block=2),
    "Pad2d 1": lambda size: Pad2d(name="op", input="input", padding=(1, 1, 1, 1)),
    "Pad2d, crop 1": lambda size: Pad2d(name="op", input="input", padding=(-1, -1, -1, -1)),
    "Upsample 2": lambda size: Upsample(name="op", input="input", factors=(2, 2)),
}
"""Operators that compute nothing with two numbers; they take no multiplier."""
OPERATORS = {**WEIGHING, **MOVING}


def plan_operator(name: str, size: Size) -> NetworkPlan:
    """Plan a network of one operator."""
    layer = OPERATORS[name](size)
    shape: tuple[int, ...] = (size.channels, size.pixels, size.pixels)
    if isinstance(layer, Linear):
        shape = shape[:1]
    network = IntegerNetwork(input=Tensor(shape, size.act), layers=(layer,))
    return plan_network(network, multipliers=MULTIPLIERS)


def synthesize_operator(plan: NetworkPlan, folder: Path) -> dict[str, CellCounts]:
    """Count the cells of each stage after Yosys' synthesis for ECP5."""
    verilog = emit_verilog(plan, technology=Technology.ECP5)
    estimate_cells(verilog, TOP, DEVICE, folder)
    return cells_by_engine(folder / f"{TOP}.json")


def _measure(name: str, size: Size, folder: Path) -> Iterator[dict[str, Any]]:
    plan = plan_operator(name, size)
    counts = synthesize_operator(plan, folder)
    # Cells that are named after ports of the design are the operator's, which drives them.
    counts[OPERATOR] = counts.get(OPERATOR, CellCounts()) + counts.pop(OTHER, CellCounts())
    for stage in plan.stages:
        found = counts.get(signal_name(stage.name), CellCounts())
        yield {
            "operator": name,
            "stage": stage.name,
            **asdict(size),
            "found": asdict(found),
            "planned": {
                kind: getattr(plan.resources_of(stage), kind)
                for kind in ("luts", "flip_flops", "dsps", "block_rams")
            },
        }


def main() -> None:
    """Synthesize all operators at all sizes."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in [*MOVING, *WEIGHING]:
            for size in SIZES if name in MOVING else SIZES[:1]:
                rows += _measure(name, size, Path(folder) / "synthesis")
                print(name, size, rows[-1]["found"], rows[-1]["planned"], flush=True)
    rows.sort(key=lambda row: list(OPERATORS).index(row["operator"]))
    write_result(RESULT, COMMAND, {"device": DEVICE.name, "stages": rows})


if __name__ == "__main__":
    main()

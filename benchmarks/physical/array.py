"""A PE array alone on an ECP5: how fast its clock can be.

python -m benchmarks.physical.array 8x8 8x16 --speed 6 8 --seeds 3
"""

import argparse
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from amaranth import Module
from amaranth.lib import data, wiring
from rich.console import Console

from benchmarks.results import write_result
from systolith.build import place_and_route, synthesize
from systolith.devices import find_part
from systolith.emit import to_verilog
from systolith.gateware import ConvContents, PEArray, Technology
from systolith.gateware.delay import delay_payload
from systolith.network import (
    ActType,
    Conv2d,
    IntegerNetwork,
    KOutOfN,
    Pattern,
    Requantize,
    Tensor,
)
from systolith.plan import ArrayShape, ConvPlan, WeightMemory, plan_network

RESULTS = Path(__file__).parent / "results"
CHANNELS, FILTERS, SIZE = 64, 64, 8
TOP = "alone"
TARGET_MHZ = 250.0
"""More than can be reached, so that the tools do not rest early."""


class Alone(wiring.Component):
    """A PE array whose ports are registers, so that every path is one within the array."""

    def __init__(self, plan: ConvPlan, contents: ConvContents) -> None:
        self.array = PEArray(plan, contents.weights)
        super().__init__(dict(self.array.signature.members))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.array = array = self.array
        for row in range(array.plan.array.rows):
            acts = delay_payload(m, self.acts[row].as_value(), 1, f"acts_{row}")
            m.d.comb += array.acts[row].eq(data.View(self.acts[row].shape(), acts))
        for number, address in enumerate(self.address):
            own = delay_payload(m, address, 1, f"address_{number}")
            m.d.comb += array.address[number].eq(own)
        for column, psum in enumerate(array.psums):
            m.d.sync += self.psums[column].eq(psum)
        return m


def layer() -> IntegerNetwork:
    """A 3x3 convolution, exactly 1-out-of-4, 8 bits."""
    rng = np.random.default_rng(0)
    pattern, shape = Pattern(select=KOutOfN(1, 4)), (FILTERS, CHANNELS, 3, 3)
    mask = pattern.best_mask(rng.random(shape))
    act = ActType(bits=8, signed=False)
    conv = Conv2d(
        name="conv",
        input="input",
        weight=rng.integers(-127, 128, shape) * mask,
        bias=rng.integers(-1000, 1000, FILTERS),
        mask=mask,
        pattern=pattern,
        padding=(1, 1, 1, 1),
        requantize=Requantize(multiplier=np.full(FILTERS, 20_000), shift=np.array([26])),
        output=act,
    )
    return IntegerNetwork(input=Tensor((CHANNELS, SIZE, SIZE), act), layers=(conv,))


def measure(rows: int, columns: int, speed: int, seeds: int, folder: Path) -> dict[str, Any]:
    """Synthesize once, place with several seeds."""
    network = layer()
    array = ArrayShape(rows=rows, columns=columns)
    (plan,) = plan_network(network, arrays={"conv": array}).convolutions
    plan = replace(plan, weight_memory=WeightMemory())
    contents = ConvContents.of(plan, network["conv"], loadable=False)
    folder.mkdir(parents=True, exist_ok=True)
    verilog = to_verilog(Alone(plan, contents), TOP, Technology.ECP5)
    (folder / f"{TOP}.v").write_text(verilog)
    part = find_part("ecp5-85f", speed=speed)
    netlist = folder / f"{TOP}.json"
    if not netlist.exists():
        synthesize([f"{TOP}.v"], TOP, folder, part.device)
    reports = [
        place_and_route(netlist, part, freq_mhz=TARGET_MHZ, seed=seed, pins=False)
        for seed in range(1, seeds + 1)
    ]
    clocks = [report.fmax_mhz for report in reports]
    worst = min(reports, key=lambda report: report.fmax_mhz)
    return {
        "array": f"{rows}x{columns}",
        "part": str(part),
        "seeds": seeds,
        "fmax_mhz": [round(clock, 1) for clock in clocks],
        "fmax_mhz_median": round(statistics.median(clocks), 1),
        "used": {kind: count for kind, count in worst.used.items() if count},
        "critical_path": worst.path.words() if worst.path else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("arrays", nargs="+", metavar="ROWSxCOLUMNS")
    parser.add_argument("--speed", type=int, nargs="+", default=[6])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="folder that keeps what the tools wrote")
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp())
    console = Console()
    for size in arguments.arrays:
        rows, columns = map(int, size.split("x"))
        for speed in arguments.speed:
            found = measure(rows, columns, speed, arguments.seeds, work / size)
            console.print(found)
            command = f"python -m benchmarks.physical.array {size} --speed {speed}"
            write_result(RESULTS / f"array-{size}-speed{speed}.json", command, found)


if __name__ == "__main__":
    main()

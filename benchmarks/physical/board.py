"""What the logic around an accelerator takes on a board: serial line, packets, stores.

python -m benchmarks.physical.board
"""

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.results import write_result
from systolith.build import CellCounts, cells_by_engine, synthesize
from systolith.devices import DEVICES
from systolith.emit import to_verilog
from systolith.gateware import Technology
from systolith.gateware.board import BoardConfig, OutputConfig, Server
from systolith.network import ActType, Tensor

RESULTS = Path(__file__).parent / "results"
TOP = "server"
COMMAND = "python -m benchmarks.physical.board"
CASES = [
    {"image": (8, 8, 1), "lanes_in": 1, "outputs": [[10]], "bits": 16},
    {"image": (28, 28, 1), "lanes_in": 1, "outputs": [[10]], "bits": 16},
    {"image": (32, 32, 3), "lanes_in": 3, "outputs": [[10]], "bits": 16},
    {"image": (64, 64, 3), "lanes_in": 1, "outputs": [[100]], "bits": 16},
    {"image": (96, 96, 4), "lanes_in": 4, "outputs": [[100]], "bits": 16},
    {"image": (32, 32, 3), "lanes_in": 3, "outputs": [[18, 4, 4], [18, 8, 8]], "bits": 8},
    {"image": (32, 32, 3), "lanes_in": 3, "outputs": [[2], [10], [100], [4, 16, 16]], "bits": 16},
]
"""Images of 8 bits, transferred pixel by pixel; outputs, value by value."""


def config_of(case: dict[str, Any]) -> BoardConfig:
    """At 100 MHz and a million baud."""
    height, width, channels = case["image"]
    return BoardConfig(
        divisor=100,
        lanes_in=case["lanes_in"],
        transfers_in=height * width * channels // case["lanes_in"],
        outputs=tuple(
            OutputConfig.of(
                Tensor(tuple(shape), ActType(bits=case["bits"], signed=True)), 1, gives_class=False
            )
            for shape in case["outputs"]
        ),
        identity=bytes(range(8)),
    )


def measure(case: dict[str, Any], folder: Path) -> CellCounts:
    """Synthesize a server alone, for an ECP5."""
    server = Server(config_of(case), input_bits=8)
    (folder / f"{TOP}.v").write_text(to_verilog(server, TOP, Technology.ECP5))
    netlist = synthesize([f"{TOP}.v"], TOP, folder, DEVICES["ecp5-25f"])
    return sum(cells_by_engine(netlist).values(), start=CellCounts())


def main() -> None:
    console = Console()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in CASES:
            found = measure(case, Path(folder))
            rows.append(case | {"luts": found.luts, "block_rams": found.block_rams})
            console.print(rows[-1])
    write_result(RESULTS / "board.json", COMMAND, {"servers": rows})


if __name__ == "__main__":
    main()

"""LUTs of products of few bits on an ECP5: PEs that multiply, and PEs that count.

python -m benchmarks.physical.products
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from amaranth.lib import wiring

from benchmarks.results import write_result
from systolith.build import count_cells, read_netlist, synthesize
from systolith.devices import find_part
from systolith.emit import to_verilog
from systolith.gateware import PE, Technology
from systolith.gateware.array.count_pe import CountPE
from systolith.gateware.array.pe import PEShape
from systolith.network import ActType
from systolith.plan import MultiplierKind, SingleBits

RESULT = Path(__file__).parent / "results" / "products.json"
SUM_BITS = 12
WIDTHS = (1, 8, 16, 32, 64)
"""Products per cycle of a PE that counts equal bits."""
STORED = ((1, 2), (2, 2), (8, 2))
"""Bits of activations, and of weights as PEs store them; weights of one bit are stored in two."""


def _shape(act_bits: int, weight_bits: int, packed: int, kind: MultiplierKind) -> PEShape:
    return PEShape(
        act=ActType(bits=act_bits, signed=False),
        group=1,
        index_bits=0,
        weight_bits=weight_bits,
        multipliers=1,
        packed=packed,
        acc_bits=SUM_BITS,
        kind=kind,
    )


def _counting(width: int) -> PEShape:
    shape = _shape(1, 1, 1, MultiplierKind.LUT)
    return replace(shape, group=width, multipliers=width, single_bits=SingleBits.NUMBERS)


def measure(component: wiring.Component, name: str, folder: Path) -> dict[str, int]:
    """Synthesize a component alone."""
    (folder / f"{name}.v").write_text(to_verilog(component, name, Technology.ECP5))
    netlist = synthesize([f"{name}.v"], name, folder, find_part("ecp5-25f", speed=6).device)
    counts = count_cells(read_netlist(netlist)).values()
    return {
        kind: sum(getattr(count, kind) for count in counts)
        for kind in ("luts", "flip_flops", "dsps")
    }


def _row(design: str, width: int, counts: Mapping[str, int]) -> dict[str, Any]:
    per_product = round(counts["luts"] / width, 2)
    return {"design": design, "products": width, **counts, "luts_per_product": per_product}


def main() -> None:
    """Synthesize every PE and write the counts."""
    rows = []
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        for act_bits, weight_bits in STORED:
            for kind in MultiplierKind:
                for packed in (1, 2):
                    name = f"pe_{act_bits}x{weight_bits}x{packed}_{kind.value}"
                    pe = PE(_shape(act_bits, weight_bits, packed, kind))
                    design = (
                        f"PE, {act_bits}-bit activation, weights stored in {weight_bits} bits, "
                        f"{kind.value}"
                    )
                    rows.append(_row(design, packed, measure(pe, name, folder)))
        for width in WIDTHS:
            counted = measure(CountPE(_counting(width)), f"count_{width}", folder)
            rows.append(_row("PE that counts equal bits", width, counted))
    write_result(RESULT, "python -m benchmarks.physical.products", {"rows": rows})


if __name__ == "__main__":
    main()

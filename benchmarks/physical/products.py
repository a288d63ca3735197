"""LUTs of products of few bits on an ECP5: a PE of today against XNOR and popcount.

python -m benchmarks.physical.products
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amaranth import C, Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from benchmarks.results import write_result
from systolith.build import count_cells, read_netlist, synthesize
from systolith.devices import find_part
from systolith.emit import to_verilog
from systolith.gateware import PE, Technology
from systolith.gateware.array.pe import PEShape
from systolith.gateware.delay import delay_payload
from systolith.network import ActType
from systolith.plan import MultiplierKind

RESULT = Path(__file__).parent / "results" / "products.json"
SUM_BITS = 12
WIDTHS = (1, 8, 16, 32)
"""Products per cycle of XNOR and popcount; a PE of a dense layer computes one for each filter."""
STORED = ((1, 2), (2, 2), (8, 2))
"""Bits of activations, and of weights as PEs store them; weights of one bit are stored in two."""


class XnorPE(wiring.Component):
    """A PE of products of -1 and +1: XNOR, a tree of adders with registers, and the partial sum."""

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__(
            {
                "acts": In(width),
                "weights": In(width),
                "acts_o": Out(width),
                "psum_i": In(signed(SUM_BITS)),
                "psum_o": Out(signed(SUM_BITS)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Count equal bits; twice the count less the width is the sum of products."""
        m = Module()
        acts: Signal = delay_payload(m, self.acts, 1, "acts")
        weights: Signal = delay_payload(m, self.weights, 1, "weights")
        m.d.comb += self.acts_o.eq(acts)
        equal = ~(acts ^ weights)
        # A LUT pair counts three bits.
        terms: list[Value] = [
            sum((equal[place] for place in range(first, min(first + 3, self.width))), C(0))
            for first in range(0, self.width, 3)
        ]
        while len(terms) > 1:
            pairs = [terms[place : place + 2] for place in range(0, len(terms), 2)]
            terms = [delay_payload(m, sum(pair, C(0)), 1, "tree") for pair in pairs]
        # The constant -width is part of the bias.
        total = (self.psum_i + terms[0].shift_left(1))[:SUM_BITS]
        m.d.comb += self.psum_o.eq(delay_payload(m, total, 1, "psum"))
        return m


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


def measure(component: wiring.Component, name: str, folder: Path) -> dict[str, int]:
    """Synthesize a component alone."""
    (folder / f"{name}.v").write_text(to_verilog(component, name, Technology.ECP5))
    netlist = synthesize([f"{name}.v"], name, folder, find_part("ecp5-25f", speed=6).device)
    counts = count_cells(read_netlist(netlist)).values()
    return {
        kind: sum(getattr(count, kind) for count in counts)
        for kind in ("luts", "flip_flops", "dsps")
    }


def _row(design: str, width: int, found: Mapping[str, int]) -> dict[str, Any]:
    per_product = round(found["luts"] / width, 2)
    return {"design": design, "products": width, **found, "luts_per_product": per_product}


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
            found = measure(XnorPE(width), f"xnor_{width}", folder)
            rows.append(_row("XNOR and popcount", width, found))
    write_result(RESULT, "python -m benchmarks.physical.products", {"rows": rows})


if __name__ == "__main__":
    main()

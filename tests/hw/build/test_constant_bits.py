"""Synthesis drops the registers of payload bits that are always the same."""

import re
from pathlib import Path

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.build import count_cells, read_netlist, synthesize
from systolith.devices import find_part
from systolith.emit import to_verilog
from systolith.gateware import RegisteredRam, Technology
from systolith.gateware.delay import delay, delay_payload
from systolith.plan import MemoryKind

WORDS = (0b1101, 0b0101, 0b1111, 0b0101, 0b0111)
"""Bits 0 and 2 are always 1."""


class Weights(wiring.Component):
    """Two memories of weights, with a register behind each, as two engines have them."""

    def __init__(self) -> None:
        super().__init__({"address": In(range(len(WORDS))), "o": Out(8), "armed": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for number in range(2):
            memory = RegisteredRam(
                width=4, depth=5, words=WORDS, written=False, kind=MemoryKind.DISTRIBUTED
            )
            m.submodules[f"weights_{number}"] = memory
            m.d.comb += [
                memory.read_address.eq(self.address + number),
                self.o[4 * number : 4 * number + 4].eq(
                    delay_payload(m, memory.read_data, 1, f"weight_{number}")
                ),
            ]
        armed = Signal()
        m.d.sync += armed.eq(1)
        m.d.comb += self.armed.eq(delay(m, armed, 1, "armed"))
        return m


def test_constant_bits_take_no_registers(tmp_path: Path) -> None:
    (tmp_path / "top.v").write_text(to_verilog(Weights(), "top", Technology.ECP5))
    netlist = synthesize(["top.v"], "top", tmp_path, find_part("ecp5-12f").device)
    flip_flops = sum(count.flip_flops for count in count_cells(read_netlist(netlist)).values())
    # 2 bits of each memory: in the read port, in its register and behind it; and 2 of `armed`.
    assert flip_flops == 2 * 2 * 3 + 2


def test_only_text_for_a_device_leaves_payload_undefined() -> None:
    def initial(technology: Technology) -> list[str]:
        text = to_verilog(Weights(), "top", technology)
        assert "systolith_payload" not in text
        return sorted(re.findall(r"reg (?:\[\d+:0\] )?(\w+) = ", text))

    assert initial(Technology.ECP5) == ["armed"]
    assert {"weight_0_1", "weight_1_1", "armed"} <= set(initial(Technology.GENERIC))

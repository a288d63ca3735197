"""Each family of devices, with the real tools: a small design becomes a bitstream or a count."""

from pathlib import Path
from typing import Any

import pytest
from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from systolith.build import BuildResult, TooLargeError, build_bitstream, estimate_cells, find_tools
from systolith.build.families import FAMILIES
from systolith.devices import DEVICES, Constraints, Device, Family, find_part, variants_of
from systolith.emit import to_verilog
from systolith.gateware import Multiplier, PinWrapper, RegisteredRam, technology_for
from systolith.plan import MemoryKind
from systolith.plan.sizes.partial_products import count_multipliers
from tests.support.slow import first_few

PLACED = [device for device in DEVICES.values() if find_tools(device).nextpnr]
ESTIMATED = [device for device in DEVICES.values() if not find_tools(device).nextpnr]
ONE_OF_EACH = {device.family: device for device in (*PLACED, *ESTIMATED)}
WORDS, TABLE = 256, 24


def _one_of_each_first(devices: list[Device]) -> list[Any]:
    """The others of a family are slow tests."""
    ones = [device for device in devices if device in ONE_OF_EACH.values()]
    return first_few([*ones, *(device for device in devices if device not in ones)], len(ones))


class Parts(wiring.Component):
    """A multiplier, and a memory of each kind."""

    def __init__(self) -> None:
        super().__init__({"a": In(8), "b": In(8), "o": Out(32)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        a, b = Signal(signed(8)), Signal(signed(8))
        m.submodules.multiplier = multiplier = Multiplier(a.shape(), b.shape())
        m.submodules.block = block = RegisteredRam(width=8, depth=WORDS, kind=MemoryKind.BLOCK)
        m.submodules.small = small = RegisteredRam(
            width=8, depth=TABLE, kind=MemoryKind.DISTRIBUTED
        )
        m.d.comb += [a.eq(self.a), b.eq(self.b), multiplier.a.eq(a), multiplier.b.eq(b)]
        for memory in (block, small):
            m.d.comb += [
                memory.read_address.eq(self.b),
                memory.write_enable.eq(self.a[0]),
                memory.write_address.eq(self.a),
                memory.write_data.eq(self.b),
            ]
        m.d.sync += self.o.eq(multiplier.o + block.read_data + (small.read_data << 8))
        return m


def _verilog(device: Device) -> str:
    alone = find_tools(device).nextpnr and variants_of(device).alone is not None
    parts = Parts()
    return to_verilog(PinWrapper(parts) if alone else parts, "parts", technology_for(device.family))


def _placed(device: Device, folder: Path) -> BuildResult:
    return build_bitstream(
        _verilog(device),
        "parts",
        find_part(device.name),
        folder,
        freq_mhz=5,
        constraints=Constraints(pins=variants_of(device).alone or {}),
    )


@pytest.mark.parametrize("device", _one_of_each_first(PLACED), ids=lambda device: device.name)
def test_a_small_design_becomes_a_bitstream(device: Device, tmp_path: Path) -> None:
    placed = _placed(device, tmp_path)
    assert placed.best.timing_met
    assert placed.bitstream is not None
    assert placed.bitstream.stat().st_size > 1000
    assert placed.best.path is not None
    uses = {use.name: use for use in find_tools(device).uses(device, placed.best.used)}
    assert uses["multipliers"].used == min(1, device.dsps)
    assert uses["block RAMs"].used == 1
    assert 30 < uses["LUTs"].used < 900
    # What the table says of a device is what nextpnr knows of.
    if device.name != "ecp5-12f":
        for name, kinds in find_tools(device).cells.items():
            kind, each = next(iter(kinds.items()))
            assert placed.best.available.get(kind, 0) * each == uses[name].available, name


def test_a_design_with_too_many_flip_flops_is_told(tmp_path: Path) -> None:
    chains = """
module top(input clk, input i, output o);
    wire [69:0] x;
    genvar n;
    generate for (n = 0; n < 70; n = n + 1) begin:part
        chain #(n) chain(.clk(clk), .i(i), .o(x[n]));
    end endgenerate
    assign o = ^x;
endmodule
module chain #(parameter TAP = 0) (input clk, input i, output o);
    reg [99:0] x;
    always @(posedge clk) x <= {x[98:0], i ^ x[TAP]};
    assign o = x[99];
endmodule
"""
    part = find_part("gw1nr-9")
    pins = Constraints(pins=variants_of(part.device).alone or {})
    with pytest.raises(TooLargeError, match="takes 7,000 DFF, but gw1nr-9 has 6,480"):
        build_bitstream(chains, "top", part, tmp_path, freq_mhz=10, constraints=pins)
    assert not list(tmp_path.glob("*.fs"))
    assert not list(tmp_path.glob("seed*.key"))


@pytest.mark.parametrize(("width", "planned"), [(17, 1), (21, 1), (26, 2)])
def test_wide_products_take_the_planned_multipliers(
    width: int, planned: int, tmp_path: Path
) -> None:
    product = Multiplier(signed(width), signed(16))
    assert count_multipliers(width, 16) == planned
    verilog = to_verilog(product, "product", technology_for(Family.NEXUS))
    cells = estimate_cells(verilog, "product", DEVICES["lifcl-17"], tmp_path)
    multipliers = {kind: count for kind, count in cells.items() if kind.startswith("MULT")}
    assert multipliers == {"MULT18X18": planned}


@pytest.mark.parametrize("device", _one_of_each_first(ESTIMATED), ids=lambda device: device.name)
def test_what_is_not_placed_is_estimated(device: Device, tmp_path: Path) -> None:
    cells = estimate_cells(_verilog(device), "parts", device, tmp_path)
    uses = {use.name: use.used for use in find_tools(device).uses(device, cells)}
    # 16 for the sums, 2 memories of 4 LUTs
    assert uses == {"LUTs": 24, "flip-flops": 58, "multipliers": 1, "block RAMs": 1}
    with pytest.raises(ValueError, match=f"^{device.name} is for estimates only: "):
        build_bitstream("", "parts", find_part(device.name), tmp_path, freq_mhz=5)


def test_pins_are_told_in_each_tools_words() -> None:
    wanted = Constraints(pins={"clk": "7"}, clock_mhz=25)
    texts = {
        family: tools.nextpnr.constraints(wanted)
        for family, tools in FAMILIES.items()
        if tools.nextpnr
    }
    assert texts == {
        Family.ECP5: 'FREQUENCY PORT "clk" 25 MHZ;\nLOCATE COMP "clk" SITE "7";\n'
        'IOBUF PORT "clk" IO_TYPE=LVCMOS33;\n',
        Family.GOWIN: 'IO_LOC "clk" 7;\nIO_PORT "clk" IO_TYPE=LVCMOS33;\n',
        Family.ICE40: "set_io clk 7\n",
        Family.NEXUS: "ldc_set_location -site {7} [get_ports clk]\n"
        "ldc_set_port -iobuf {IO_TYPE=LVCMOS33} [get_ports clk]\n",
    }

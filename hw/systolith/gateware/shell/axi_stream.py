"""AXI4-Stream: payloads of Amaranth streams, flat ports, and a slice that cuts paths."""

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RegisterSlice", "packet", "sink_ports", "source_ports", "wire_sink", "wire_source"]


def packet(width: int, *, user: bool = False) -> data.StructLayout:
    """Layout of a transfer with TDATA, TLAST and, if `user`, one bit of TUSER."""
    return data.StructLayout({"data": width, "last": 1} | ({"user": 1} if user else {}))


def sink_ports(prefix: str, width: int) -> dict[str, Any]:
    """Members of a component for an input stream: ``{prefix}_tdata`` and so on."""
    return {
        f"{prefix}_tdata": In(width),
        f"{prefix}_tvalid": In(1),
        f"{prefix}_tready": Out(1),
        f"{prefix}_tlast": In(1),
    }


def source_ports(prefix: str, width: int) -> dict[str, Any]:
    """Members of a component for an output stream: ``{prefix}_tdata`` and so on."""
    return {
        f"{prefix}_tdata": Out(width),
        f"{prefix}_tvalid": Out(1),
        f"{prefix}_tready": In(1),
        f"{prefix}_tlast": Out(1),
        f"{prefix}_tuser": Out(1),
    }


def wire_sink(m: Module, top: Any, prefix: str, target: stream.Interface) -> None:
    """Connect :func:`sink_ports` of `top` to a stream of :func:`packet`."""
    tdata, tvalid, tready, tlast = (
        getattr(top, f"{prefix}_{name}") for name in ("tdata", "tvalid", "tready", "tlast")
    )
    m.d.comb += [
        target.payload.data.eq(tdata),
        target.payload.last.eq(tlast),
        target.valid.eq(tvalid),
        tready.eq(target.ready),
    ]


def wire_source(m: Module, top: Any, prefix: str, source: stream.Interface) -> None:
    """Connect a stream of :func:`packet` to :func:`source_ports` of `top`."""
    tdata, tvalid, tready, tlast, tuser = (
        getattr(top, f"{prefix}_{name}") for name in ("tdata", "tvalid", "tready", "tlast", "tuser")
    )
    m.d.comb += [
        tdata.eq(source.payload.data),
        tlast.eq(source.payload.last),
        tuser.eq(source.payload.user),
        tvalid.eq(source.valid),
        source.ready.eq(tready),
    ]


class RegisterSlice(wiring.Component):
    """A stream register that cuts every combinational path.

    One register holds the offered transfer, the other a transfer that arrives while the first is
    not taken.

    Members
    -------
    i : ``In(stream.Signature(shape))``
    o : ``Out(stream.Signature(shape))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycle. Throughput: one per cycle. All outputs are registers. Reset
    empties the slice; ``i.ready`` and ``o.valid`` are 0 during reset and in the cycle after it.
    """

    LATENCY = 1

    i: stream.Interface
    o: stream.Interface

    def __init__(self, shape: Any) -> None:
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        """Build the two registers."""
        m = Module()
        offered, waiting = (
            Signal(self.shape, name=name, reset_less=True) for name in ("offered", "waiting")
        )
        any_offered, any_waiting, awake, arrives = Signal(), Signal(), Signal(), Signal()
        m.d.sync += awake.eq(1)
        m.d.comb += [
            self.o.payload.eq(offered),
            self.o.valid.eq(any_offered),
            self.i.ready.eq(awake & ~any_waiting),
            arrives.eq(self.i.valid & self.i.ready),
        ]
        with m.If(self.o.ready | ~any_offered):
            with m.If(any_waiting):
                m.d.sync += [offered.eq(waiting), any_waiting.eq(0)]
            with m.Else():
                m.d.sync += [offered.eq(self.i.payload), any_offered.eq(arrives)]
        with m.Elif(arrives):
            m.d.sync += [waiting.eq(self.i.payload), any_waiting.eq(1)]
        return m

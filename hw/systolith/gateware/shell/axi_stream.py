"""AXI4-Stream: payloads of Amaranth streams, and flat ports with the names that tools look for."""

from typing import Any

from amaranth import Module
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out

__all__ = ["packet", "sink_ports", "source_ports", "wire_sink", "wire_source"]


def packet(width: int, *, user: bool = False) -> data.StructLayout:
    """Layout of a transfer with TDATA, TLAST and maybe one bit of TUSER."""
    return data.StructLayout({"data": width, "last": 1} | ({"user": 1} if user else {}))


def sink_ports(prefix: str, width: int) -> dict[str, Any]:
    """Members of a component into which a stream flows: ``{prefix}_tdata`` and so on."""
    return {
        f"{prefix}_tdata": In(width),
        f"{prefix}_tvalid": In(1),
        f"{prefix}_tready": Out(1),
        f"{prefix}_tlast": In(1),
    }


def source_ports(prefix: str, width: int) -> dict[str, Any]:
    """Members of a component out of which a stream flows."""
    return {
        f"{prefix}_tdata": Out(width),
        f"{prefix}_tvalid": Out(1),
        f"{prefix}_tready": In(1),
        f"{prefix}_tlast": Out(1),
        f"{prefix}_tuser": Out(1),
    }


def wire_sink(m: Module, top: Any, prefix: str, target: stream.Interface) -> None:
    """Join :func:`sink_ports` of `top` with a stream of :func:`packet`."""
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
    """Join a stream of :func:`packet` with :func:`source_ports` of `top`."""
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

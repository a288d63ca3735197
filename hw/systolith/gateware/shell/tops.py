"""Top modules: a pipeline with its shell and a bus, with the port names that tools expect."""

from collections.abc import Mapping
from typing import Any

from amaranth import ClockDomain, DomainRenamer, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from systolith.gateware.shell.axi_lite import AxiLite, axi_lite_ports
from systolith.gateware.shell.axi_stream import (
    sink_ports,
    source_ports,
    wire_sink,
    wire_source,
)
from systolith.gateware.shell.config import ShellConfig
from systolith.gateware.shell.shell import CONTROL, Core, Shell
from systolith.gateware.shell.wishbone import Wishbone, wishbone_ports

__all__ = ["AxiTop", "WishboneTop", "output_prefixes"]

INPUT_PREFIX = "s_axis"


def output_prefixes(outputs: int) -> tuple[str, ...]:
    """Names of the output streams: ``m_axis``, or ``m_axis_0``, ``m_axis_1``, ... if several."""
    return ("m_axis",) if outputs == 1 else tuple(f"m_axis_{n}" for n in range(outputs))


class _Top(wiring.Component):
    """Common part of both tops: clocks, streams and shell.

    Parameters
    ----------
    core : Core
        The pipeline.
    config : ShellConfig
        Constants of the shell.
    ports : dict
        Members besides the streams, with clock and reset.
    """

    def __init__(self, core: Core, config: ShellConfig, ports: dict[str, Any]) -> None:
        self.shell = Shell(core, config)
        self._prefixes = output_prefixes(len(config.outputs))
        members = ports | sink_ports(INPUT_PREFIX, config.input.tdata_width)
        for prefix, output in zip(self._prefixes, config.outputs, strict=True):
            members |= source_ports(prefix, output.tdata_width)
        super().__init__(members)

    def _module(
        self, clock: Signal, reset: Any, bus: AxiLite | Wishbone, ports: Mapping[str, str]
    ) -> Module:
        """Make the clock domains and connect all; `ports` maps names of the bus to names here."""
        m = Module()
        m.domains.sync = sync = ClockDomain("sync")
        m.domains.control = control = ClockDomain(CONTROL)
        sync.clk = control.clk = clock
        m.d.comb += [control.rst.eq(reset), sync.rst.eq(reset | self.shell.reset)]
        m.submodules.shell = shell = self.shell
        m.submodules.bus = front = DomainRenamer(CONTROL)(bus)
        wire_sink(m, self, INPUT_PREFIX, shell.i)
        for prefix, output in zip(self._prefixes, shell.outputs, strict=True):
            wire_source(m, self, prefix, output)
        wiring.connect(m, front.request, shell.request)
        wiring.connect(m, shell.response, front.response)
        for name, port in ports.items():
            inner, outer = getattr(bus, name), getattr(self, port)
            is_input = bus.signature.members[name].flow is In
            m.d.comb += inner.eq(outer) if is_input else outer.eq(inner)
        return m


class AxiTop(_Top):
    """A pipeline with AXI4-Stream in and out and AXI4-Lite control.

    Members
    -------
    aclk, aresetn : ``In(1)``
        Common clock; synchronous reset, active low.
    s_axis_*, m_axis_* : AXI4-Stream
        With several outputs ``m_axis_0_*`` and so on.
    s_axil_* : AXI4-Lite

    Timing
    ------
    No combinational path between any two ports.
    """

    aclk: Signal
    aresetn: Signal

    def __init__(self, core: Core, config: ShellConfig) -> None:
        bus = {f"s_axil_{name}": member for name, member in axi_lite_ports().items()}
        super().__init__(core, config, {"aclk": In(1), "aresetn": In(1)} | bus)

    def elaborate(self, platform: object) -> Module:
        """Connect the bus."""
        ports = {name: f"s_axil_{name}" for name in axi_lite_ports()}
        return self._module(self.aclk, ~self.aresetn, AxiLite(), ports)


class WishboneTop(_Top):
    """A pipeline with AXI4-Stream in and out and Wishbone B4 control.

    Members
    -------
    wb_clk_i, wb_rst_i : ``In(1)``
        Common clock; synchronous reset, active high.
    s_axis_*, m_axis_* : AXI4-Stream
        With several outputs ``m_axis_0_*`` and so on.
    wb_* : Wishbone B4, classic or pipelined

    Timing
    ------
    No combinational path between any two ports.
    """

    wb_clk_i: Signal
    wb_rst_i: Signal

    def __init__(self, core: Core, config: ShellConfig) -> None:
        bus = {_wishbone_name(name): member for name, member in wishbone_ports().items()}
        super().__init__(core, config, {"wb_clk_i": In(1), "wb_rst_i": In(1)} | bus)

    def elaborate(self, platform: object) -> Module:
        """Connect the bus."""
        ports = {name: _wishbone_name(name) for name in wishbone_ports()}
        return self._module(self.wb_clk_i, self.wb_rst_i, Wishbone(), ports)


def _wishbone_name(name: str) -> str:
    """Name of a port as in the Wishbone specification: ``wb_dat_i``, ``wb_dat_o``."""
    suffix = "i" if wishbone_ports()[name].flow is In else "o"
    return f"wb_{name.partition('_')[0]}_{suffix}"

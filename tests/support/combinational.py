"""Paths from inputs of a component to its outputs that no register interrupts."""

from amaranth.hdl import Fragment, Value, ValueCastable
from amaranth.hdl._ir import PortDirection, build_netlist
from amaranth.lib import wiring

__all__ = ["combinational_paths"]


def combinational_paths(component: wiring.Component) -> set[tuple[str, str]]:
    """Find all pairs of an input and an output that depends on it within a cycle.

    Walks the netlist that Amaranth makes before it writes RTLIL, bit by bit. Names of ports are as
    in the Verilog.
    """
    ports = {}
    for path, member, signal in component.signature.flatten(component):
        value = signal.as_value() if isinstance(signal, ValueCastable) else signal
        flow = PortDirection.Input if member.flow is wiring.In else PortDirection.Output
        ports["__".join(map(str, path))] = (Value.cast(value), flow)
    netlist = build_netlist(Fragment.get(component, None), ports=ports)
    by_bit = {
        bit: name
        for name, (start, width) in netlist.top.ports_i.items()
        for bit in range(start, start + width)
    }
    paths = set()
    for output, value in netlist.top.ports_o.items():
        waiting, seen = list(value), set()
        while waiting:
            net = netlist.resolve_net(waiting.pop())
            if net.is_const or net in seen:
                continue
            seen.add(net)
            if net.cell == 0:
                paths.add((by_bit[net.bit], output))
            else:
                cell = netlist.cells[net.cell]
                waiting += [source for source, _ in cell.comb_edges_to(net.bit)]
    return {(source, output) for source, output in paths if source not in ("clk", "rst")}

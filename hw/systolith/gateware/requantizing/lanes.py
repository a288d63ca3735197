"""Requantizers of several lanes: the members that all kinds have."""

from amaranth import Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_word
from systolith.gateware.parameters import load_ports
from systolith.network import ActType

__all__ = ["Lanes"]


class Lanes(wiring.Component):
    """Requantizers of several lanes, with the parameters of all channels.

    Members
    -------
    i : ``In(data.ArrayLayout(signed(acc_bits), lanes))``
    valid : ``In(1)``
        Whether `i` is a transfer.
    transfer : ``In(range(transfers))``
        Number of the transfer within its pixel, one cycle ahead of `i`.
    o : ``Out(act_word(output, lanes))``
    o_valid : ``Out(1)``
    load_i, load_o, full
        See :class:`ParameterMemory`; only if loadable.

    Timing
    ------
    Latency: ``plan.requantize_latency`` cycles. Throughput: one transfer per cycle.
    """

    i: data.View
    valid: Signal
    transfer: Signal
    o: data.View
    o_valid: Signal
    load_i: data.View
    load_o: data.View
    full: Signal

    def __init__(
        self, acc_bits: int, lanes: int, transfers: int, output: ActType, *, loadable: bool
    ) -> None:
        self.loadable = loadable
        members = {
            "i": In(data.ArrayLayout(signed(acc_bits), lanes)),
            "valid": In(1),
            "transfer": In(range(transfers)),
            "o": Out(act_word(output, lanes)),
            "o_valid": Out(1),
        }
        super().__init__(members | load_ports(loadable))

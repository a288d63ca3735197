"""From accumulators to activations."""

import numpy as np
from amaranth import Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.delay import delayed, payload
from systolith.gateware.streams import act_word
from systolith.network import ActType, IntArray, Overflow, Requantize, Rounding, signed_bits

__all__ = ["RequantizeLanes", "Requantizer"]


class Requantizer(wiring.Component):
    """Add the bias, scale, round, shift and clamp: one lane.

    Golden model: :func:`systolith.network.requantize`, bit for bit.

    Members
    -------
    acc : ``In(signed(acc_bits))``
    bias, multiplier, shift : ``In``
        Parameters of the channel, in the cycle of `acc`.
    o : ``Out(act_shape(output))``

    Timing
    ------
    Latency: :attr:`LATENCY` cycles. Throughput: one per cycle; nothing stalls.
    """

    LATENCY = 5

    acc: Signal
    bias: Signal
    multiplier: Signal
    shift: Signal
    o: Signal

    def __init__(self, acc_bits: int, biases: IntArray, spec: Requantize, output: ActType) -> None:
        self.acc_bits, self.spec, self.output = acc_bits, spec, output
        self.bias_bits = signed_bits(int(biases.min()), int(biases.max()))
        self.multiplier_bits = max(int(spec.multiplier.max()).bit_length(), 1)
        shape = signed(output.bits) if output.signed else unsigned(output.bits)
        super().__init__(
            {
                "acc": In(signed(acc_bits)),
                "bias": In(signed(self.bias_bits)),
                "multiplier": In(unsigned(self.multiplier_bits)),
                "shift": In(range(int(spec.shift.max()) + 1)),
                "o": Out(shape),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """Five registers: bias, product twice (a multiplier's own register), shifted, clamped."""
        m = Module()
        spec = self.spec
        biased = payload(m, self.acc + self.bias, 1, "biased")
        multiplier = payload(m, self.multiplier, 1, "multiplier")
        product = payload(m, biased * multiplier, 2, "product")
        shift = payload(m, self.shift, 3, "shift")
        if int(spec.shift.min()) == int(spec.shift.max()):
            shifted = _rounded(product, int(spec.shift[0]), spec.rounding)
        else:
            half = ((1 << shift) >> 1) if spec.rounding is Rounding.HALF_UP else Const(0)
            shifted = (product + half) >> shift
        shifted = payload(m, shifted, 1, "shifted")
        m.d.sync += self.o.eq(self._clamped(shifted + self.output.zero_point))
        return m

    def _clamped(self, value: Value) -> Value:
        output, clamp = self.output, self.spec.clamp
        if self.spec.overflow is Overflow.SATURATE:
            low, high = clamp or (output.low, output.high)
            return _clamp(value, low, high)
        wrapped = value[: output.bits]
        wrapped = wrapped.as_signed() if output.signed else wrapped
        return _clamp(wrapped, *clamp) if clamp else wrapped


class RequantizeLanes(wiring.Component):
    """Requantizers side by side, with the parameters of all channels.

    Members
    -------
    i : ``In(data.ArrayLayout(signed(acc_bits), lanes))``
    valid : ``In(1)``
        Whether `i` is a transfer.
    transfer : ``In(range(transfers))``
        Number of the transfer within its pixel, one cycle ahead of `i`.
    o : ``Out(act_word(output, lanes))``
    o_valid : ``Out(1)``

    Timing
    ------
    Latency: :attr:`Requantizer.LATENCY` cycles. Throughput: one transfer per cycle.
    """

    i: data.View
    valid: Signal
    transfer: Signal
    o: data.View
    o_valid: Signal

    def __init__(
        self, acc_bits: int, biases: IntArray, spec: Requantize, output: ActType, lanes: int
    ) -> None:
        self.acc_bits, self.biases, self.spec, self.output = acc_bits, biases, spec, output
        self.lanes = lanes
        self.transfers = -(-len(biases) // lanes)
        super().__init__(
            {
                "i": In(data.ArrayLayout(signed(acc_bits), lanes)),
                "valid": In(1),
                "transfer": In(range(self.transfers)),
                "o": Out(act_word(output, lanes)),
                "o_valid": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        """A table of parameters per lane, read one cycle ahead."""
        m = Module()
        for lane in range(self.lanes):
            requantizer = Requantizer(self.acc_bits, self.biases, self.spec, self.output)
            layout = data.StructLayout(
                {
                    "bias": requantizer.bias.shape(),
                    "multiplier": requantizer.multiplier.shape(),
                    "shift": requantizer.shift.shape(),
                }
            )
            table = memory.Memory(shape=layout, depth=self.transfers, init=self._parameters(lane))
            m.submodules[f"parameters_{lane}"] = table
            m.submodules[f"requantizer_{lane}"] = requantizer
            port = table.read_port()
            m.d.comb += [
                port.addr.eq(self.transfer),
                port.en.eq(1),
                requantizer.acc.eq(self.i[lane]),
                requantizer.bias.eq(port.data.bias),
                requantizer.multiplier.eq(port.data.multiplier),
                requantizer.shift.eq(port.data.shift),
                self.o[lane].eq(requantizer.o),
            ]
        m.d.comb += self.o_valid.eq(delayed(m, self.valid, Requantizer.LATENCY, "valid"))
        return m

    def _parameters(self, lane: int) -> list[dict[str, int]]:
        channels = len(self.biases)
        multiplier = np.broadcast_to(self.spec.multiplier, channels)
        shift = np.broadcast_to(self.spec.shift, channels)
        rows = [
            {"bias": int(bias), "multiplier": int(scale), "shift": int(places)}
            for bias, scale, places in zip(self.biases, multiplier, shift, strict=True)
        ][lane :: self.lanes]
        unused = {"bias": 0, "multiplier": 0, "shift": 0}
        return rows + [unused] * (self.transfers - len(rows))


def _rounded(value: Value, shift: int, rounding: Rounding) -> Value:
    half = (1 << shift) >> 1 if rounding is Rounding.HALF_UP else 0
    return (value + half) >> shift


def _clamp(value: Value, low: int, high: int) -> Value:
    return Mux(value < low, low, Mux(value > high, high, value))

"""Requantizers: from accumulators to activations."""

from amaranth import C, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_shape
from systolith.gateware.cells import add_cell
from systolith.gateware.delay import delay, delay_payload
from systolith.gateware.parameters import (
    ParameterMemory,
    ParameterTable,
    connect_load_chain,
)
from systolith.gateware.primitives import multiply
from systolith.gateware.requantizing.lanes import Lanes
from systolith.gateware.requantizing.requantizer_parameters import RequantizerShape
from systolith.gateware.requantizing.thresholds import ThresholdLanes
from systolith.gateware.requantizing.twice_rounded import round_once
from systolith.network import Overflow, Rounding

__all__ = ["RequantizeLanes", "Requantizer", "make_lanes"]


class Requantizer(wiring.Component):
    """Add the bias, scale, round, shift and clamp; one lane.

    Golden model: :func:`systolith.network.requantize`, bit for bit.

    Members
    -------
    acc : ``In(signed(acc_bits))``
    parameters : ``In(shape.word)``
        Parameters of the channel, in the cycle of `acc`.
    o : ``Out(act_shape(output))``

    Timing
    ------
    Latency: :attr:`RequantizerShape.latency` cycles. Throughput: one per cycle; nothing stalls.
    """

    acc: Signal
    parameters: data.View
    o: Signal

    def __init__(self, shape: RequantizerShape) -> None:
        self.shape = shape
        super().__init__(
            {
                "acc": In(signed(shape.acc_bits)),
                "parameters": In(shape.word),
                "o": Out(act_shape(shape.output)),
            }
        )

    @property
    def cell_name(self) -> str:
        """Name of the Verilog module."""
        return f"requantizer_{self.shape.acc_bits}to{self.shape.output.bits}"

    def elaborate(self, platform: object) -> Module:
        """Registers: bias, those of a multiplier if there is one, shifted, rounded, clamped.

        The bias is added in front of the multiplier; with offsets, behind it. The sign of the sum
        chooses between two factors, if there are slopes. Rounding twice takes one more register, in
        front of the shift.
        """
        m = Module()
        shape, bias = self.shape, self.parameters.bias
        product, factor = self.acc, self.parameters.multiplier
        scaled = 1
        if not shape.has_offsets:
            product = delay_payload(m, product + bias, 1, "biased")
        if shape.multiplier_bits:
            if not shape.has_offsets:
                factor = delay_payload(m, factor, 1, "factor")
            if shape.has_slopes:
                negative = delay_payload(m, self.parameters.negative, 1, "negative")
                factor = Mux(product[-1], negative, factor)
            product = multiply(platform, m, "multiplier", product, factor)
            scaled += shape.scale_latency
        if shape.has_offsets:
            late = delay_payload(m, bias, scaled - 1, "offset")
            product = delay_payload(m, product.shift_left(shape.trailing_zeros) + late, 1, "biased")
        shift: Value | int = shape.shifts[0]
        if shape.shift_bits:
            shift = delay_payload(m, self.parameters.shift, scaled, "shift")
        if shape.rounding is Rounding.TFLITE:
            product = delay_payload(m, round_once(product, shift), 1, "once")
            if isinstance(shift, Value):
                shift = delay_payload(m, shift, 1, "late_shift")
        # One bit of the fraction is kept for rounding.
        doubled = product.shift_left(1)
        if isinstance(shift, Value):
            shifted, dropped = doubled >> shift, _low_bits(doubled, shift)
        else:
            shifted, dropped = doubled.shift_right(shift), doubled[:shift]
        shifted = delay_payload(m, shifted, 1, "shifted")
        half = 1 if shape.rounding.to_nearest else 0
        if shape.rounding is Rounding.HALF_EVEN:
            # If only zeros follow the half, it is a tie, and is added to odd integers only.
            beyond = delay_payload(m, dropped.any(), 1, "beyond")
            whole = shifted.shift_right(1)
            shifted = Cat(shifted[0] & (beyond | whole[0]), whole).as_signed()
        # The same addition adds the zero point.
        rounded = (shifted + (2 * shape.output.zero_point + half)).shift_right(1)
        rounded = delay_payload(m, rounded, 1, "rounded")
        m.d.comb += self.o.eq(delay_payload(m, self._clamp_output(rounded), 1, "clamped"))
        return m

    def _clamp_output(self, value: Value) -> Value:
        output, clamp = self.shape.output, self.shape.clamp
        if self.shape.overflow is Overflow.SATURATE:
            low, high = clamp or (output.low, output.high)
            return _clamp(value, low, high)
        # A value may be narrower than the output: the addition extends its sign.
        wrapped = (value + C(0, signed(output.bits)))[: output.bits]
        wrapped = wrapped.as_signed() if output.signed else wrapped
        return _clamp(wrapped, *clamp) if clamp else wrapped


class RequantizeLanes(Lanes):
    """Requantizers that scale; members and timing as those of :class:`Lanes`."""

    def __init__(
        self,
        shape: RequantizerShape,
        tables: tuple[ParameterTable, ...],
        *,
        loadable: bool = False,
    ) -> None:
        self.shape, self.tables = shape, tables
        transfers = len(tables[0].words)
        super().__init__(shape.acc_bits, len(tables), transfers, shape.output, loadable=loadable)

    def elaborate(self, platform: object) -> Module:
        """Give each lane a table of parameters, whose words arrive one cycle after `i`."""
        m = Module()
        memories = []
        for lane, table in enumerate(self.tables):
            memories.append(parameters := ParameterMemory(table, loadable=self.loadable))
            m.submodules[table.name] = parameters
            requantizer = add_cell(platform, m, f"requantizer_{lane}", Requantizer, self.shape)
            m.d.comb += [
                parameters.address.eq(self.transfer),
                requantizer.acc.eq(delay_payload(m, self.i[lane], 1, f"acc_{lane}")),
                requantizer.parameters.eq(parameters.word),
                self.o[lane].eq(requantizer.o),
            ]
        m.d.comb += self.o_valid.eq(delay(m, self.valid, self.shape.latency + 1, "valid"))
        if self.loadable:
            connect_load_chain(m, self, memories)
        return m


def make_lanes(
    shape: RequantizerShape, tables: tuple[ParameterTable, ...], *, loadable: bool = False
) -> RequantizeLanes | ThresholdLanes:
    """Make the requantizers of an engine: they scale, or count thresholds."""
    if shape.threshold_bits:
        bits = shape.threshold_bits
        return ThresholdLanes(shape.acc_bits, bits, shape.output, tables, loadable=loadable)
    return RequantizeLanes(shape, tables, loadable=loadable)


def _low_bits(value: Value, count: Value) -> Value:
    """Keep the lowest `count` bits of a value, and set the others to 0.

    The mask is built without shifts or comparisons: each bit of `count` doubles its length.
    """
    kept: Value = C(0, 1)
    for bit in count:
        chosen = bit.replicate(len(kept))
        kept = Cat(kept | chosen, kept & chosen)
    return value.as_unsigned() & kept


def _clamp(value: Value, low: int, high: int) -> Value:
    """Clamp a value; bounds that its width cannot exceed take no comparison."""
    shape = value.shape()
    most = (1 << (shape.width - shape.signed)) - 1
    least = -most - 1 if shape.signed else 0
    if not shape.signed:
        value = Cat(value, C(0, 1)).as_signed()
    clamped = Mux(_less(value, low), low, value) if least < low else value
    return Mux(_less(~value, ~high), high, clamped) if most > high else clamped


def _less(value: Value, bound: int) -> Value:
    """Compare a signed value; by its high bits alone where they suffice, without a carry chain."""
    bits = (bound if bound >= 0 else ~bound).bit_length()
    if bound == 0:
        return value[-1]
    if bound == -1 << bits:
        return value[-1] & ~value[bits:].all()
    return value < bound

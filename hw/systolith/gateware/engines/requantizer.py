"""From accumulators to activations."""

from dataclasses import dataclass

import numpy as np
from amaranth import C, Cat, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from systolith.gateware.activations import act_shape, act_word
from systolith.gateware.cells import add_cell
from systolith.gateware.delay import delay, delay_payload
from systolith.gateware.parameters import (
    ParameterMemory,
    ParameterTable,
    connect_load_chain,
    load_ports,
)
from systolith.gateware.primitives import multiply
from systolith.network import (
    MAX_SHIFT,
    ActType,
    IntArray,
    Overflow,
    Requantize,
    Rounding,
    signed_bits,
)
from systolith.plan import (
    MULTIPLIER_LATENCY,
    SPARE_BIAS_BITS,
    addends,
    offset_bits,
    requantize_latency,
    scale_bits,
    trailing_zeros,
)

__all__ = ["RequantizeLanes", "Requantizer", "RequantizerShape", "requantizer_tables"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequantizerShape:
    """What the circuit of a requantizer depends on.

    Parameters
    ----------
    acc_bits, bias_bits : int
        Widths of accumulator and bias, signed.
    multiplier_bits : int
        0 if every multiplier is 1: then there is none.
    raised : int
        Zeros at the end of multipliers, which are no part of `multiplier_bits`.
    has_offsets : bool
        Whether the bias is added behind the multiplier, as part of an offset.
    shifts : pair of int
        Least and greatest shift.
    rounding : Rounding
    overflow : Overflow
    clamp : pair of int, optional
    output : ActType
    """

    acc_bits: int
    bias_bits: int
    multiplier_bits: int
    shifts: tuple[int, int]
    rounding: Rounding
    overflow: Overflow
    clamp: tuple[int, int] | None
    output: ActType
    raised: int = 0
    has_offsets: bool = False

    @classmethod
    def of(
        cls, acc_bits: int, biases: IntArray, spec: Requantize, output: ActType
    ) -> "RequantizerShape":
        """Make no wider than these parameters need."""
        return cls(
            acc_bits=acc_bits,
            bias_bits=offset_bits(acc_bits, biases, spec)
            or signed_bits(int(biases.min()), int(biases.max())),
            multiplier_bits=scale_bits(spec),
            shifts=(int(spec.shift.min()), int(spec.shift.max())),
            rounding=spec.rounding,
            overflow=spec.overflow,
            clamp=spec.clamp,
            output=output,
            raised=trailing_zeros(spec),
            has_offsets=spec.offset is not None,
        )

    @classmethod
    def loadable(
        cls, acc_bits: int, biases: IntArray, spec: Requantize, output: ActType
    ) -> "RequantizerShape":
        """Make wide enough for other parameters, too."""
        own_bits = signed_bits(int(biases.min()), int(biases.max()))
        raised = trailing_zeros(spec, reloadable=True)
        return cls(
            acc_bits=acc_bits,
            bias_bits=offset_bits(acc_bits, biases, spec, reloadable=True)
            or max(acc_bits + SPARE_BIAS_BITS, own_bits),
            multiplier_bits=scale_bits(spec, reloadable=True),
            shifts=(0, MAX_SHIFT + raised),
            rounding=spec.rounding,
            overflow=spec.overflow,
            clamp=spec.clamp,
            output=output,
            raised=raised,
            has_offsets=spec.offset is not None,
        )

    @property
    def latency(self) -> int:
        """Cycles from accumulator and parameters to activation."""
        return requantize_latency(self.multiplier_bits) - 1

    @property
    def shift_bits(self) -> int:
        """Width of the shift; 0 if it is always the same."""
        least, most = self.shifts
        return most.bit_length() if least != most else 0

    @property
    def word(self) -> data.StructLayout:
        """Layout of the parameters of a channel."""
        return data.StructLayout(
            {
                "bias": signed(self.bias_bits),
                "multiplier": unsigned(self.multiplier_bits),
                "shift": unsigned(self.shift_bits),
            }
        )

    def pack(self, bias: int, multiplier: int, shift: int) -> int:
        """Lay the parameters of a channel out as a word.

        Parameters
        ----------
        bias : int
            With offsets, what is added to the product.
        multiplier, shift : int
            As in the contract.

        Raises
        ------
        ValueError
            If a parameter is wider than its field.
        """
        # As many zeros at the end of the multiplier as there are wires for.
        missing = max(self.raised - _zeros_at_end(multiplier), 0) if multiplier else 0
        bias, multiplier, shift = bias << missing, multiplier << missing, shift + missing
        multiplier >>= self.raised
        if signed_bits(bias, bias) > self.bias_bits:
            what = "bias and offset" if self.has_offsets else "bias"
            raise ValueError(f"{what} must fit {self.bias_bits} bits, got {bias}")
        if self.multiplier_bits == 0 and multiplier != 1:
            raise ValueError(f"multiplier must be 1, got {multiplier}")
        if self.multiplier_bits and multiplier.bit_length() > self.multiplier_bits:
            raise ValueError(f"multiplier must fit {self.multiplier_bits} bits, got {multiplier}")
        least, most = self.shifts
        if not least <= shift <= most:
            raise ValueError(f"shift must lie in {least}..{most}, got {shift}")
        parts = [(bias, self.bias_bits), (multiplier, self.multiplier_bits)]
        parts.append((shift, self.shift_bits))
        word = place_ = 0
        for value, bits in parts:
            word |= (value & ((1 << bits) - 1)) << place_
            place_ += bits
        return word


class Requantizer(wiring.Component):
    """Add the bias, scale, round, shift and clamp: one lane.

    Golden model: :func:`systolith.network.requantize`, bit for bit.

    Members
    -------
    acc : ``In(signed(acc_bits))``
    parameters : ``In(shape.word)``
        Of the channel, in the cycle of `acc`.
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

        With offsets, the bias comes behind the multiplier; else in front of it.
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
            product = multiply(platform, m, "multiplier", product, factor)
            scaled += MULTIPLIER_LATENCY
        if shape.has_offsets:
            late = delay_payload(m, bias, scaled - 1, "offset")
            product = delay_payload(m, product.shift_left(shape.raised) + late, 1, "biased")
        # One bit of the fraction stays, to round by.
        doubled = product.shift_left(1)
        if shape.shift_bits:
            shift = delay_payload(m, self.parameters.shift, scaled, "shift")
            shifted, dropped = doubled >> shift, _low_bits(doubled, shift)
        else:
            shift = shape.shifts[0]
            shifted, dropped = doubled.shift_right(shift), doubled[:shift]
        shifted = delay_payload(m, shifted, 1, "shifted")
        half = 1 if shape.rounding.to_nearest else 0
        if shape.rounding is Rounding.HALF_EVEN:
            # The half is a tie if nothing follows it; then it is added to odd integers only.
            beyond = delay_payload(m, dropped.any(), 1, "beyond")
            whole = shifted.shift_right(1)
            shifted = Cat(shifted[0] & (beyond | whole[0]), whole).as_signed()
        # The zero point comes in by the same addition.
        rounded = (shifted + (2 * shape.output.zero_point + half)).shift_right(1)
        rounded = delay_payload(m, rounded, 1, "rounded")
        m.d.comb += self.o.eq(delay_payload(m, self._clamped(rounded), 1, "clamped"))
        return m

    def _clamped(self, value: Value) -> Value:
        output, clamp = self.shape.output, self.shape.clamp
        if self.shape.overflow is Overflow.SATURATE:
            low, high = clamp or (output.low, output.high)
            return _clamp(value, low, high)
        # A value may be narrower than what it wraps to: it is as wide by its sign.
        wrapped = (value + C(0, signed(output.bits)))[: output.bits]
        wrapped = wrapped.as_signed() if output.signed else wrapped
        return _clamp(wrapped, *clamp) if clamp else wrapped


def requantizer_tables(
    shape: RequantizerShape, biases: IntArray, spec: Requantize, lanes: int
) -> tuple[ParameterTable, ...]:
    """Deal the parameters of all channels to the lanes, a table for each.

    Parameters
    ----------
    shape : RequantizerShape
    biases : array of int, shape (channels,)
    spec : Requantize
    lanes : int

    Raises
    ------
    ValueError
        If a parameter does not fit the shape.
    """
    channels = len(biases)
    multiplier = np.broadcast_to(spec.multiplier, channels).tolist()
    shift = np.broadcast_to(spec.shift, channels).tolist()
    added = addends(biases, spec) if shape.has_offsets else biases.tolist()
    if spec.offset is not None and not shape.has_offsets:
        raise ValueError("offsets need a design with offsets, but this one has none")
    words = [shape.pack(*parameters) for parameters in zip(added, multiplier, shift, strict=True)]
    words += [0] * (-channels % lanes)
    width = Shape.cast(shape.word).width
    return tuple(
        ParameterTable(name=f"parameters_{lane}", width=width, words=tuple(words[lane::lanes]))
        for lane in range(lanes)
    )


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
        self,
        shape: RequantizerShape,
        tables: tuple[ParameterTable, ...],
        *,
        loadable: bool = False,
    ) -> None:
        self.shape, self.tables, self.loadable = shape, tables, loadable
        lanes = len(tables)
        members = {
            "i": In(data.ArrayLayout(signed(shape.acc_bits), lanes)),
            "valid": In(1),
            "transfer": In(range(len(tables[0].words))),
            "o": Out(act_word(shape.output, lanes)),
            "o_valid": Out(1),
        }
        super().__init__(members | load_ports(loadable))

    def elaborate(self, platform: object) -> Module:
        """A table of parameters per lane; its words come one cycle later than `i`."""
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


def _zeros_at_end(value: int) -> int:
    """Count zeros below the lowest 1 of a positive number."""
    return (value & -value).bit_length() - 1


def _low_bits(value: Value, count: Value) -> Value:
    """Keep so many bits of a value, the others 0.

    Nothing is shifted or compared: bit by bit, twice as many places learn whether they count.
    """
    kept: Value = C(0, 1)
    for bit in count:
        chosen = bit.replicate(len(kept))
        kept = Cat(kept | chosen, kept & chosen)
    return value.as_unsigned() & kept


def _clamp(value: Value, low: int, high: int) -> Value:
    """Compare only with bounds that the value's width lets it pass."""
    shape = value.shape()
    most = (1 << (shape.width - shape.signed)) - 1
    least = -most - 1 if shape.signed else 0
    if not shape.signed:
        value = Cat(value, C(0, 1)).as_signed()
    clamped = Mux(_less(value, low), low, value) if least < low else value
    return Mux(_less(~value, ~high), high, clamped) if most > high else clamped


def _less(value: Value, bound: int) -> Value:
    """Compare a signed value; where the high bits alone tell, they are faster than a carry."""
    bits = (bound if bound >= 0 else ~bound).bit_length()
    if bound == 0:
        return value[-1]
    if bound == -1 << bits:
        return value[-1] & ~value[bits:].all()
    return value < bound

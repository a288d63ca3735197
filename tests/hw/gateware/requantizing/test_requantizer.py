"""The requantizer against the golden function."""

from dataclasses import replace

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from systolith.gateware import Requantizer, RequantizerShape
from systolith.network import ActType, IntArray, Overflow, Requantize, Rounding, requantize
from systolith.plan import addends

ACC_BITS = 20
EDGES = [
    -(1 << 19),
    -(1 << 19) + 1,
    -4097,
    -4096,
    -3,
    -2,
    -1,
    0,
    1,
    2,
    3,
    4095,
    4096,
    (1 << 19) - 1,
]


def _hardware(
    shape: RequantizerShape, spec: Requantize, acc: IntArray, bias: IntArray
) -> list[int]:
    """Send one accumulator per cycle through, channel by channel in turn."""
    channels = len(bias)
    dut = Requantizer(shape)
    multiplier = np.broadcast_to(spec.multiplier, channels)
    shift = np.broadcast_to(spec.shift, channels)
    negative = np.broadcast_to(0 if spec.negative is None else spec.negative, channels)
    results: list[int] = []

    async def bench(ctx):  # type: ignore[no-untyped-def]
        for number in range(len(acc) + dut.shape.latency):
            if number < len(acc):
                channel = number % channels
                ctx.set(dut.acc, int(acc[number]))
                added = addends(bias, spec) if shape.has_offsets else bias.tolist()
                own = (values[channel] for values in (added, multiplier, shift, negative))
                parameters = tuple(map(int, own))
                ctx.set(dut.parameters.as_value(), shape.pack(*parameters))
            await ctx.tick()
            if number >= dut.shape.latency - 1:
                results.append(ctx.get(dut.o))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results[: len(acc)]


def _ties(shift: int) -> list[int]:
    """Accumulators that lie half way between two integers after the shift, if they fit."""
    halves = [odd << max(shift - 1, 0) for odd in range(-9, 7, 2)]
    return [half for half in halves if -(1 << ACC_BITS - 1) <= half < 1 << ACC_BITS - 1]


def _shapes(spec: Requantize, output: ActType, bias: IntArray) -> list[RequantizerShape]:
    """Make the narrowest shape for these parameters, and the shape for loadable ones."""
    return [
        RequantizerShape.of(ACC_BITS, bias, spec, output),
        RequantizerShape.of(ACC_BITS, bias, spec, output, loadable=True),
    ]


def _golden(spec: Requantize, output: ActType, acc: IntArray, bias: IntArray) -> list[int]:
    rows = acc.reshape(-1, len(bias)) + bias
    return [int(value) for value in requantize(rows, spec, output).reshape(-1)]


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("overflow", Overflow)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shift", [0, 1, 12, 20, 40])
def test_edges(rounding: Rounding, overflow: Overflow, signed: bool, shift: int) -> None:
    output = ActType(bits=8, signed=signed, zero_point=5)
    spec = Requantize(
        multiplier=np.array([1]), shift=np.array([shift]), rounding=rounding, overflow=overflow
    )
    acc, bias = np.array([*EDGES, *_ties(shift)]), np.zeros(1, int)
    for shape in _shapes(spec, output, bias):
        assert _hardware(shape, spec, acc, bias) == _golden(spec, output, acc, bias)


def test_a_requantizer_with_ties_up_is_not_taken_for_one_with_ties_to_even() -> None:
    output = ActType(bits=8, signed=True, zero_point=5)
    spec = Requantize(multiplier=np.array([1]), shift=np.array([3]), rounding=Rounding.HALF_EVEN)
    acc, bias = np.array(_ties(3)), np.zeros(1, int)
    for shape in _shapes(spec, output, bias):
        broken = replace(shape, rounding=Rounding.HALF_UP)
        expected, found = _golden(spec, output, acc, bias), _hardware(broken, spec, acc, bias)
        assert [got - want for got, want in zip(found, expected, strict=True)] == [0, 1] * 4


@pytest.mark.parametrize("signed", [False, True])
def test_a_narrow_negative_value_wraps_by_its_sign(signed: bool) -> None:
    output = ActType(bits=8, signed=signed)
    spec = Requantize(
        multiplier=np.array([1]),
        shift=np.array([25]),
        rounding=Rounding.FLOOR,
        overflow=Overflow.WRAP,
    )
    acc, bias = np.array([-5, 5]), np.zeros(1, int)
    assert _golden(spec, output, acc, bias) == [-1 if signed else 255, 0]
    for shape in _shapes(spec, output, bias):
        assert _hardware(shape, spec, acc, bias) == _golden(spec, output, acc, bias)


def test_loadable_shifts_hold_offsets_as_wide_as_their_own() -> None:
    output, bias = ActType(bits=2, signed=False), np.array([3506])
    spec = Requantize(multiplier=np.array([1]), shift=np.array([0]), offset=np.array([4190798]))
    acc = np.array(EDGES)
    shape = RequantizerShape.of(ACC_BITS, bias, spec, output, loadable=True)
    assert _hardware(shape, spec, acc, bias) == _golden(spec, output, acc, bias)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_random_parameters(data: st.DataObject) -> None:
    channels = data.draw(st.integers(1, 3))
    signed = data.draw(st.booleans())
    bits = data.draw(st.integers(2, 16))
    plain = ActType(bits=bits, signed=signed)
    values = st.integers(plain.low, plain.high)
    output = ActType(bits=bits, signed=signed, zero_point=data.draw(values))
    clamp = data.draw(st.none() | st.tuples(values, values).map(lambda pair: tuple(sorted(pair))))
    sizes = st.sampled_from([1, channels])
    multipliers = st.just(1) | st.integers(0, 99) | st.integers(0, (1 << 31) - 1)
    shifts = st.integers(0, 6) | st.integers(0, 30) | st.integers(28, 62)
    raised = data.draw(st.just(0) | st.integers(0, 8))
    offsets = st.integers(-9, 9) | st.integers(-(1 << 30), 1 << 30)
    kind = data.draw(st.sampled_from(["plain", "offset", "slopes"]))
    lowest = data.draw(st.sampled_from([-(1 << 31) + 1, -99, 0]))
    drawn = [min(data.draw(multipliers) << raised, (1 << 31) - 1) for _ in range(data.draw(sizes))]
    spec = Requantize(
        multiplier=np.array(drawn),
        shift=np.array([data.draw(shifts) for _ in range(data.draw(sizes))]),
        offset=np.array([data.draw(offsets) for _ in range(data.draw(sizes))])
        if kind == "offset"
        else None,
        negative=np.array(
            [data.draw(st.integers(lowest, max(drawn))) for _ in range(data.draw(sizes))]
        )
        if kind == "slopes"
        else None,
        rounding=data.draw(st.sampled_from(Rounding)),
        overflow=data.draw(st.sampled_from(Overflow)),
        clamp=clamp,
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    bias = rng.integers(-5000, 5000, channels)
    acc = rng.integers(-(1 << 19), 1 << 19, 12 * channels)
    for number, channel in enumerate([*range(channels)] * 6):
        ties = _ties(int(np.broadcast_to(spec.shift, channels)[channel]))
        if ties:
            acc[number] = rng.choice(ties) - bias[channel]
    acc = acc.clip(-(1 << 19), (1 << 19) - 1)
    shape = data.draw(st.sampled_from(_shapes(spec, output, bias)))
    assert _hardware(shape, spec, acc, bias) == _golden(spec, output, acc, bias)


def test_power_of_two_needs_no_multiplier() -> None:
    spec = Requantize(multiplier=np.array([1]), shift=np.array([3, 4]))
    output = ActType(bits=8, signed=True)
    for shape in _shapes(spec, output, np.zeros(2, int)):
        assert shape.multiplier_bits == 0
        text = rtlil.convert(Requantizer(shape))
        assert "cell $add" in text and "cell $mul" not in text


@pytest.mark.parametrize("rounding", Rounding)
def test_offsets_at_powers_of_two_need_no_multiplier_either(rounding: Rounding) -> None:
    spec = Requantize(
        multiplier=np.array([16]), shift=np.array([7, 9]), offset=np.array([-3, 8]),
        rounding=rounding,
    )  # fmt: skip
    output, bias = ActType(bits=8, signed=True, zero_point=5), np.array([-7, 9])
    acc = np.array([value for edge in range(-40, 40) for value in (edge, edge)])
    own, loadable = _shapes(spec, output, bias)
    # Loadable parameters must not move the first of two roundings.
    shapes = [own] if rounding is Rounding.TFLITE else [own, loadable]
    for shape in shapes:
        assert shape.multiplier_bits == 0
        assert "cell $mul" not in rtlil.convert(Requantizer(shape))
    for shape in (own, loadable):
        assert _hardware(shape, spec, acc, bias) == _golden(spec, output, acc, bias)


@pytest.mark.parametrize("multiplier", [1, 77])
def test_offsets_take_no_cycle(multiplier: int) -> None:
    plain = Requantize(multiplier=np.array([multiplier]), shift=np.array([9]))
    output, bias = ActType(bits=8, signed=True), np.array([5])
    shape = RequantizerShape.of(ACC_BITS, bias, plain, output)
    moved = RequantizerShape.of(ACC_BITS, bias, replace(plain, offset=np.array([3])), output)
    assert moved.latency == shape.latency


@pytest.mark.parametrize("lowest", [0, -9000])
def test_slopes_take_no_cycle_and_no_second_multiplier(lowest: int) -> None:
    plain = Requantize(multiplier=np.array([30_000, 7]), shift=np.array([18]))
    sloped = replace(plain, negative=np.array([lowest, 3000]))
    output, bias = ActType(bits=8, signed=True), np.array([5, -9])
    acc = np.array([value for edge in (*EDGES, *range(-12, 12)) for value in (edge, edge)])
    for shape in _shapes(sloped, output, bias):
        assert _hardware(shape, sloped, acc, bias) == _golden(sloped, output, acc, bias)
        assert rtlil.convert(Requantizer(shape)).count("cell $mul") == 1
        assert shape.latency == RequantizerShape.of(ACC_BITS, bias, plain, output).latency


def test_refuses_slopes_that_a_word_cannot_hold() -> None:
    spec = Requantize(multiplier=np.array([9]), shift=np.array([3]), negative=np.array([2]))
    shape = RequantizerShape.of(ACC_BITS, np.zeros(1, int), spec, ActType(bits=8, signed=True))
    for negative in (16, -1):
        message = f"multiplier of negative sums must fit 4 bits, got {negative}"
        with pytest.raises(ValueError, match=message):
            shape.pack(0, 1, 3, negative)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [((1 << 22, 1, 0), "bias must fit 22 bits, got 4194304"), ((0, 2, 0), "must be 1, got 2")],
)
def test_refuses_what_a_word_cannot_hold(parameters: tuple[int, int, int], message: str) -> None:
    spec = Requantize(multiplier=np.array([1]), shift=np.array([3]))
    shape = RequantizerShape.of(
        ACC_BITS, np.zeros(1, int), spec, ActType(bits=8, signed=True), loadable=True
    )
    with pytest.raises(ValueError, match=message):
        shape.pack(*parameters)

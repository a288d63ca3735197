"""Hypothesis strategies for the parts of layers: types, patterns, weights, windows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from systolith.network import (
    ActType,
    AllTaps,
    BoolArray,
    Dense,
    Granularity,
    IntArray,
    KOutOfN,
    Overflow,
    Padding,
    Pattern,
    PerNeuron,
    Requantize,
    Rounding,
    Select,
    Shape,
    Strided,
    Taps,
    Tensor,
    WeightShape,
)


def generators() -> st.SearchStrategy[np.random.Generator]:
    """Bulk values come from a seed: hypothesis is slow at drawing arrays."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def divisors(number: int) -> st.SearchStrategy[int]:
    return st.sampled_from([size for size in range(1, number + 1) if number % size == 0])


@st.composite
def act_types(draw: st.DrawFn, max_bits: int = 16) -> ActType:
    signed = draw(st.booleans())
    bits = draw(st.integers(2 if signed else 1, max_bits))
    plain = ActType(bits=bits, signed=signed)
    zero = draw(st.just(0) | st.integers(plain.low, plain.high))
    return ActType(bits=bits, signed=signed, zero_point=zero)


def per_channel(
    draw: st.DrawFn, channels: int, low: int, high: int, fixed: int | None = None
) -> IntArray:
    rng = draw(generators())
    size = draw(st.sampled_from([1, channels]))
    return np.full(size, fixed) if fixed is not None else rng.integers(low, high + 1, size)


@st.composite
def offsets(draw: st.DrawFn, channels: int) -> IntArray:
    """Some that leave ties, some that matter, some as large as there may be."""
    most = 1 << draw(st.sampled_from([2, 8, 24, 61]))
    return per_channel(draw, channels, -most, most - 1)


@st.composite
def requantizes(draw: st.DrawFn, channels: int, output: ActType) -> Requantize:
    power = draw(st.booleans())
    most_shift = draw(st.sampled_from([0, 8, 20, 47, 62]))
    clamps = st.tuples(*[st.integers(output.low, output.high)] * 2).map(
        lambda pair: (min(pair), max(pair))
    )
    kind = draw(st.sampled_from(["plain", "offset", "slopes"]))
    lowest = draw(st.sampled_from([-65535, 0]))
    return Requantize(
        multiplier=per_channel(draw, channels, 0, 65535, fixed=1 if power else None),
        shift=per_channel(draw, channels, 0, most_shift),
        offset=draw(offsets(channels)) if kind == "offset" else None,
        negative=per_channel(draw, channels, lowest, 65535) if kind == "slopes" else None,
        rounding=draw(st.sampled_from(Rounding)),
        overflow=draw(st.sampled_from(Overflow)),
        clamp=draw(st.none() | clamps),
    )


@st.composite
def patterns(draw: st.DrawFn, shape: WeightShape) -> Pattern:
    """Any pattern that fits weights of this shape."""
    filters, channels, kh, kw = shape
    kind = draw(st.sampled_from(["dense", "k-out-of-n", "per neuron"]))
    shared_by = draw(divisors(filters))
    n = draw(divisors(channels))
    taps: Taps = AllTaps()
    if draw(st.booleans()):
        stride = draw(st.integers(1, kh * kw))
        # One offset for each group, so that groups are read whole.
        size = n if kind == "k-out-of-n" else 1
        offsets = [draw(st.integers(0, stride - 1)) for _ in range(channels // size)]
        taps = Strided(stride, tuple(offset for offset in offsets for _ in range(size)))
    select: Select = Dense()
    if kind == "k-out-of-n":
        granularity = draw(st.sampled_from(Granularity))
        select = KOutOfN(draw(st.integers(1, n)), n, granularity, shared_by)
    elif kind == "per neuron":
        most = int(Pattern(taps=taps).tap_mask(shape).sum())
        select = PerNeuron(draw(st.integers(1, most)), shared_by)
    return Pattern(select=select, taps=taps)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The fields that Conv2d and Linear have in common."""

    weight: IntArray
    bias: IntArray
    weight_bits: int
    pattern: Pattern
    mask: BoolArray | None
    requantize: Requantize
    output: ActType

    def fields(self) -> dict[str, Any]:
        return dict(vars(self))


@st.composite
def weights(draw: st.DrawFn, shape: WeightShape, max_bits: int = 16) -> Weights:
    rng = draw(generators())
    bits = draw(st.integers(1, max_bits))
    pattern = draw(patterns(shape))
    mask = None
    if not pattern.is_dense or draw(st.booleans()):
        mask = pattern.best_mask(rng.random(shape))
    if bits == 1:
        weight = rng.choice([-1, 1], shape)
    else:
        weight = rng.integers(-(1 << bits - 1), 1 << bits - 1, shape)
    if mask is not None:
        weight = weight * mask
    limit = 1 << draw(st.sampled_from([0, 8, 20, 39]))
    output = draw(act_types())
    return Weights(
        weight=weight,
        bias=rng.integers(-limit, limit, shape[0]),
        weight_bits=bits,
        pattern=pattern,
        mask=mask,
        requantize=draw(requantizes(shape[0], output)),
        output=output,
    )


@st.composite
def windows(
    draw: st.DrawFn,
    shape: Shape,
    kernel: tuple[int, int] | None = None,
    dilation: tuple[int, int] = (1, 1),
) -> tuple[tuple[int, int], tuple[int, int], Padding]:
    """Kernel, stride and padding that fit an image (C, H, W)."""
    sizes, before, after = [], [], []
    for axis in range(2):
        size = kernel[axis] if kernel else draw(st.integers(1, min(4, shape[axis + 1] + 2)))
        reach = (size - 1) * dilation[axis] + 1
        low = draw(st.integers(0, reach - 1))
        least = max(0, reach - shape[axis + 1] - low)
        sizes.append(size)
        before.append(low)
        after.append(draw(st.integers(least, reach - 1)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    return (sizes[0], sizes[1]), stride, (before[0], after[0], before[1], after[1])


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    shape: Shape = (draw(st.integers(1, 12)),)
    if draw(st.booleans()):
        shape = (draw(st.integers(1, 6)), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    return Tensor(shape, draw(act_types()))


def small_shapes(most: Sequence[int] = (4, 4, 3, 3)) -> st.SearchStrategy[WeightShape]:
    """Shapes of weights."""
    return st.tuples(*[st.integers(1, size) for size in most])


@st.composite
def patterns_with_shapes(draw: st.DrawFn) -> tuple[Pattern, tuple[int, int, int, int]]:
    n, groups = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    shared_by, teams = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kh, kw = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shape = (shared_by * teams, n * groups, kh, kw)
    taps: AllTaps | Strided = AllTaps()
    if draw(st.booleans()):
        stride = draw(st.integers(1, kh * kw))
        offsets = draw(st.lists(st.integers(0, stride - 1), min_size=groups, max_size=groups))
        taps = Strided(stride, tuple(offset for offset in offsets for _ in range(n)))
    read = int(Pattern(taps=taps).tap_mask(shape).sum())
    select = draw(
        st.one_of(
            st.just(Dense()),
            st.builds(
                KOutOfN,
                st.integers(1, n),
                st.just(n),
                st.sampled_from(Granularity),
                st.just(shared_by),
            ),
            st.builds(PerNeuron, st.integers(1, read), st.just(shared_by)),
        )
    )
    return Pattern(select=select, taps=taps), shape

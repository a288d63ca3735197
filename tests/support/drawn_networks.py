"""Hypothesis strategies for layers of all kinds, and whole valid networks of them."""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from systolith.network import (
    INPUT,
    MAX_TABLE_BITS,
    ActType,
    Add,
    ArgMax,
    AvgPool2d,
    Concat,
    Conv2d,
    DepthToSpace,
    Flatten,
    IntArray,
    IntegerNetwork,
    Layer,
    Linear,
    MaxPool2d,
    Pad2d,
    SelectChannels,
    Shape,
    SpaceToDepth,
    Table,
    Tensor,
    Upsample,
)
from tests.support.strategies import act_types, requantizes, tensors, weights, windows


def dilations() -> st.SearchStrategy[tuple[int, int]]:
    """Distances between taps, often 1."""
    distances = st.sampled_from([1, 1, 2, 3])
    return st.tuples(distances, distances)


@st.composite
def conv2ds(draw: st.DrawFn, shape: Shape, name: str = "conv", source: str = INPUT) -> Conv2d:
    """A convolution that reads an image of `shape`; depthwise at times, with any multiplier."""
    channels = shape[0]
    depthwise = draw(st.booleans())
    filters = channels * draw(st.integers(1, 3)) if depthwise else draw(st.integers(1, 6))
    dilation = draw(dilations())
    kernel, stride, padding = draw(windows(shape, dilation=dilation))
    part = draw(weights((filters, 1 if depthwise else channels, *kernel)))
    groups = channels if depthwise else 1
    return Conv2d(
        name=name,
        input=source,
        stride=stride,
        padding=padding,
        groups=groups,
        dilation=dilation,
        **part.fields(),
    )


@st.composite
def linears(draw: st.DrawFn, features: int, name: str = "fc", source: str = INPUT) -> Linear:
    outputs = draw(st.integers(1, 6))
    part = draw(weights((outputs, features, 1, 1))).fields()
    for field in ("weight", "mask"):
        if part[field] is not None:
            part[field] = part[field].reshape(outputs, features)
    return Linear(name=name, input=source, **part)


@st.composite
def max_pools(draw: st.DrawFn, shape: Shape, name: str = "pool", source: str = INPUT) -> MaxPool2d:
    dilation = draw(dilations())
    kernel, stride, padding = draw(windows(shape, dilation=dilation))
    pool = MaxPool2d(
        name=name,
        input=source,
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    assume(not list(pool.problems([shape])))
    return pool


@st.composite
def avg_pools(draw: st.DrawFn, shape: Shape, name: str = "avg", source: str = INPUT) -> AvgPool2d:
    output = draw(act_types())
    spec = draw(requantizes(shape[0], output))
    if draw(st.booleans()):
        return AvgPool2d(name=name, input=source, requantize=spec, output=output)
    kernel, stride, padding = draw(windows(shape))
    top, bottom, left, right = (draw(st.integers(0, added)) for added in padding)
    return AvgPool2d(
        name=name,
        input=source,
        requantize=spec,
        output=output,
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        counted=draw(st.sampled_from([None, (0, 0, 0, 0), (top, bottom, left, right)])),
    )


@st.composite
def adds(
    draw: st.DrawFn, shape: Shape, name: str = "add", sources: tuple[str, str] = (INPUT, INPUT)
) -> Add:
    output = draw(act_types())
    # Inputs of 17 bits, scaled to 63, then to sums of at most 44.
    rounded = draw(st.booleans())
    multipliers = st.integers(1, (1 << 31) - 1 if rounded else 65535)
    return Add(
        name=name,
        inputs=sources,
        multipliers=(draw(multipliers), draw(multipliers)),
        requantize=draw(requantizes(shape[0], output)),
        output=output,
        left_shift=draw(st.integers(0, 15)) if rounded else 0,
        shifts=(draw(st.integers(20, 62)), draw(st.integers(20, 62))) if rounded else None,
    )


@st.composite
def selections(
    draw: st.DrawFn, shape: Shape, name: str = "select", source: str = INPUT
) -> SelectChannels:
    """Any channels, sometimes a slice."""
    channels = draw(st.lists(st.integers(0, shape[0] - 1), min_size=1, max_size=12))
    if draw(st.booleans()):
        channels = sorted({*channels})
    return SelectChannels(name=name, input=source, channels=tuple(channels))


@st.composite
def concats(draw: st.DrawFn, name: str, source: str, known: dict[str, Tensor]) -> Concat:
    """Any tensors of one type and size, one of them several times at times."""
    own = known[source]
    peers = [
        other
        for other, tensor in known.items()
        if tensor.type == own.type and tensor.shape[1:] == own.shape[1:]
    ]
    others = draw(st.lists(st.sampled_from(peers), min_size=1, max_size=2))
    return Concat(name=name, inputs=tuple(draw(st.permutations([source, *others]))))


@st.composite
def networks(draw: st.DrawFn, max_layers: int = 5) -> IntegerNetwork:
    """A whole network: chains and branches of every kind of layer, one or more outputs.

    Each layer reads any tensor defined before it; what nobody reads leaves the network.
    """
    known = {INPUT: draw(tensors())}
    layers: list[Layer] = []
    for number in range(draw(st.integers(1, max_layers))):
        name = draw(st.sampled_from(["conv{}", "block.{}", "_l{}.0"])).format(number)
        source = draw(st.sampled_from(sorted(known)))
        layer = draw(_layers(name, source, known))
        layers.append(layer)
        inputs = [known[other] for other in layer.inputs]
        known[name] = Tensor(
            layer.output_shape([tensor.shape for tensor in inputs]),
            layer.output_type([tensor.type for tensor in inputs]),
        )
    read = {name for layer in layers for name in layer.inputs}
    unread = [layer.name for layer in layers if layer.name not in read]
    more = [layer.name for layer in layers if layer.name in read and draw(st.booleans())]
    outputs = tuple(draw(st.permutations(unread + more[:1])))
    return IntegerNetwork(
        name=draw(st.sampled_from(["network", "net.v1"])),
        input=known[INPUT],
        layers=tuple(layers),
        outputs=outputs,
    )


@st.composite
def tables(draw: st.DrawFn, act: ActType, name: str = "table", source: str = INPUT) -> Table:
    """Tables of any values, for inputs of a type of at most 8 bits."""
    output, rng = draw(act_types()), np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(output.low, output.high + 1, 1 << act.bits)
    return Table(name=name, input=source, values=values, output=output)


@st.composite
def pads(
    draw: st.DrawFn, shape: Shape, act: ActType, name: str = "pad", source: str = INPUT
) -> Pad2d:
    """Padding by any value on some sides, cropping on others."""
    sides: list[int] = []
    for length in shape[1:]:
        before = draw(st.integers(1 - length, 3))
        sides += [before, draw(st.integers(1 - length - min(before, 0), 3))]
    value = draw(st.none() | st.integers(act.low, act.high))
    return Pad2d(
        name=name,
        input=source,
        padding=(sides[0], sides[1], sides[2], sides[3]),
        value=value,
        edge=value is None and draw(st.booleans()),
    )


@st.composite
def upsamples(draw: st.DrawFn, name: str = "up", source: str = INPUT) -> Upsample:
    factors = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    return Upsample(name=name, input=source, factors=factors)


def _layers(name: str, source: str, known: dict[str, Tensor]) -> st.SearchStrategy[Layer]:
    shape = known[source].shape
    narrow = known[source].type.bits <= MAX_TABLE_BITS
    table = tables(known[source].type, name, source) if narrow else st.nothing()
    peers = [other for other in known if known[other].shape == shape]
    add = st.sampled_from(peers).flatmap(lambda peer: adds(shape, name, (source, peer)))
    flatten = st.just(Flatten(name=name, input=source))
    move = selections(shape, name, source) | concats(name, source, known)
    classes = st.just(ArgMax(name=name, input=source, classes=shape[0]))
    if len(shape) == 1:
        return linears(shape[0], name, source) | add | flatten | table | move | classes
    for rows, columns in ((2, 2), (3, 3), (1, 2), (3, 1)):
        block = rows, columns
        if shape[0] % (rows * columns) == 0:
            move |= st.just(DepthToSpace(name=name, input=source, block=block))
        if shape[1] % rows == shape[2] % columns == 0:
            move |= st.just(SpaceToDepth(name=name, input=source, block=block))
    pools = max_pools(shape, name, source) | avg_pools(shape, name, source)
    move |= pads(shape, known[source].type, name, source) | upsamples(name, source)
    return conv2ds(shape, name, source) | pools | add | flatten | table | move | classes


def images(
    tensor: Tensor, rng: np.random.Generator, count: int = 2, *, extremes: bool = False
) -> IntArray:
    """Random values of a tensor's type, or only its two extremes."""
    shape = (count, *tensor.shape)
    if extremes:
        return rng.choice([tensor.type.low, tensor.type.high], shape)
    return rng.integers(tensor.type.low, tensor.type.high + 1, shape)

"""Random networks of layers that engines exist for."""

import numpy as np

from systolith.network import (
    ActType,
    Add,
    AllTaps,
    AvgPool2d,
    Conv2d,
    Flatten,
    Granularity,
    IntegerNetwork,
    KOutOfN,
    Layer,
    Linear,
    MaxPool2d,
    NetworkError,
    Overflow,
    Padding,
    Pattern,
    PerNeuron,
    Requantize,
    Rounding,
    Shape,
    Strided,
    Tensor,
)

Rng = np.random.Generator


def random_network(seed: int, most_layers: int = 3) -> IntegerNetwork:
    """Draw convolutions and pools of all kinds, now and then with a linear layer at the end."""
    rng = np.random.default_rng(seed)
    while True:
        shape = (int(rng.choice([1, 2, 3, 4, 6, 8])), *map(int, rng.integers(3, 9, 2)))
        layers: list[Layer] = []
        network = None
        wanted = int(rng.integers(1, most_layers + 1))
        source = Tensor(shape, _act_type(rng))
        for number in range(wanted):
            drawn = _layer(rng, f"layer{number}", layers[-1].name if layers else "input", shape)
            try:
                network = IntegerNetwork(input=source, layers=(*layers, drawn))
            except NetworkError:
                break
            layers.append(drawn)
            shape = drawn.output_shape([shape])
        if network is None or len(layers) < wanted:
            continue
        if rng.random() < 0.3:
            layers += _classifier(rng, layers[-1].name, shape)
        return IntegerNetwork(input=source, layers=tuple(layers), outputs=_outputs(seed, layers))


def random_residual_network(seed: int, blocks: int = 3) -> IntegerNetwork:
    """Draw convolutions and additions that reach back to any tensor of the same shape."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.choice([1, 2, 3, 4, 6])), *map(int, rng.integers(2, 8, 2)))
    source = Tensor(shape, _act_type(rng))
    layers: list[Layer] = []
    shapes: dict[str, Shape] = {"input": shape}
    current = "input"
    for number in range(blocks):
        body = _same_size(rng, f"body{number}", current, shapes[current])
        layers.append(body)
        shapes[body.name] = body.output_shape([shapes[current]])
        partners = [name for name, shape in shapes.items() if shape == shapes[body.name]]
        output = _act_type(rng)
        both = [body.name, str(rng.choice(partners))]
        rng.shuffle(both)
        channels = shapes[body.name][0]
        layers.append(
            Add(
                name=f"add{number}",
                inputs=(both[0], both[1]),
                multipliers=(int(rng.integers(1, 1 << 16)), int(rng.integers(1, 1 << 16))),
                requantize=_requantize(rng, channels, output, 16),
                output=output,
            )
        )
        current = f"add{number}"
        shapes[current] = shapes[body.name]
    return IntegerNetwork(input=source, layers=tuple(layers), outputs=_outputs(seed, layers))


def _outputs(seed: int, layers: list[Layer]) -> tuple[str, ...]:
    """Draw now and then others besides the last."""
    rng = np.random.default_rng([seed, 1])
    *others, last = [layer.name for layer in layers]
    chosen = [name for name in others if rng.random() < 0.5] if rng.random() < 0.3 else []
    outputs = [*chosen, last]
    rng.shuffle(outputs)
    return tuple(outputs)


def _same_size(rng: Rng, name: str, source: str, shape: Shape) -> Conv2d:
    """Draw a convolution whose output is as high and wide as its input."""
    kernel = (int(rng.choice([1, 2, 3])), int(rng.choice([1, 2, 3])))
    rows, columns = (size - 1 for size in kernel)
    filters = shape[0] if rng.random() < 0.7 else int(rng.choice([1, 2, 3, 4, 6]))
    weights = (filters, shape[0], *kernel)
    pattern, bits, output = _pattern(rng, weights), int(rng.integers(1, 9)), _act_type(rng)
    mask = pattern.best_mask(rng.random(weights))
    return Conv2d(
        name=name,
        input=source,
        weight=_weights(rng, weights, bits) * mask,
        bias=rng.integers(-999, 1000, filters),
        requantize=_requantize(rng, filters, output, bits),
        output=output,
        weight_bits=bits,
        padding=(rows // 2, rows - rows // 2, columns // 2, columns - columns // 2),
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
    )


def random_images(network: IntegerNetwork, count: int, seed: int) -> np.ndarray:
    """Draw images over the whole range of the input type."""
    act = network.input.type
    rng = np.random.default_rng(seed)
    return rng.integers(act.low, act.high + 1, (count, *network.input.shape))


def _layer(rng: Rng, name: str, source: str, shape: Shape) -> Layer:
    kernel = (
        int(rng.integers(1, min(shape[1], 4) + 1)),
        int(rng.integers(1, min(shape[2], 4) + 1)),
    )
    stride = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    padding: Padding = tuple(
        int(rng.integers(0, limit)) for limit in (kernel[0], kernel[0], kernel[1], kernel[1])
    )  # type: ignore[assignment]
    if (kind := rng.random()) < 0.15:
        return MaxPool2d(
            name=name, input=source, kernel_size=kernel, stride=stride, padding=padding
        )
    if kind < 0.3:
        output = _act_type(rng)
        whole = rng.random() < 0.3
        return AvgPool2d(
            name=name,
            input=source,
            requantize=_requantize(rng, shape[0], output, 4),
            output=output,
            kernel_size=None if whole else kernel,
            stride=(1, 1) if whole else stride,
            padding=(0, 0, 0, 0) if whole else padding,
        )
    depthwise = rng.random() < 0.25
    filters = shape[0] * int(rng.integers(1, 4)) if depthwise else int(rng.choice([1, 3, 4, 6, 8]))
    weights = (filters, 1 if depthwise else shape[0], *kernel)
    pattern, bits, output = _pattern(rng, weights), int(rng.integers(1, 17)), _act_type(rng)
    mask = pattern.best_mask(rng.random(weights))
    return Conv2d(
        name=name,
        input=source,
        weight=_weights(rng, weights, bits) * mask,
        bias=rng.integers(-999, 1000, filters),
        requantize=_requantize(rng, filters, output, bits),
        output=output,
        weight_bits=bits,
        stride=stride,
        padding=padding,
        groups=shape[0] if depthwise else 1,
        pattern=pattern,
        mask=None if pattern.is_dense else mask,
    )


def _classifier(rng: Rng, source: str, shape: Shape) -> list[Layer]:
    outputs, output = int(rng.integers(1, 6)), ActType(bits=16, signed=True)
    weights = (outputs, int(np.prod(shape)))
    linear = Linear(
        name="linear",
        input="flatten",
        weight=_weights(rng, weights, 8),
        bias=rng.integers(-999, 1000, outputs),
        requantize=_requantize(rng, outputs, output, 8),
        output=output,
    )
    return [Flatten(name="flatten", input=source), linear]


def _weights(rng: Rng, shape: tuple[int, ...], bits: int) -> np.ndarray:
    if bits == 1:
        return rng.choice([-1, 1], shape)
    return rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), shape)


def _act_type(rng: Rng) -> ActType:
    signed = bool(rng.integers(2))
    bits = int(rng.integers(2, 17 if rng.random() < 0.2 else 9))
    plain = ActType(bits=bits, signed=signed)
    return ActType(
        bits=bits, signed=signed, zero_point=int(rng.integers(plain.low, plain.high + 1))
    )


def _pattern(rng: Rng, shape: tuple[int, int, int, int]) -> Pattern:
    filters, channels = shape[:2]
    n = int(rng.choice([d for d in range(1, channels + 1) if channels % d == 0]))
    taps = _taps(rng, channels, n, shape[2] * shape[3])
    if channels > 1 and rng.random() < 0.2:
        taps = _taps(rng, channels, 1, shape[2] * shape[3])
        most = int(Pattern(taps=taps).tap_mask(shape).sum())
        return Pattern(select=PerNeuron(int(rng.integers(1, most + 1))), taps=taps)
    if n == 1:
        return Pattern(taps=taps)
    shared = int(rng.choice([d for d in (1, 2, 3) if filters % d == 0]))
    k = int(rng.integers(1, n + 1))
    select = KOutOfN(k, n, rng.choice(list(Granularity)), shared)
    return Pattern(select=select, taps=taps)


def _taps(rng: Rng, channels: int, group: int, taps: int) -> AllTaps | Strided:
    """Draw now and then a stride, with an offset for each group of channels."""
    if taps == 1 or rng.random() < 0.6:
        return AllTaps()
    stride = int(rng.integers(2, min(taps, 4) + 1))
    offsets = np.repeat(rng.integers(0, stride, channels // group), group)
    return Strided(stride, tuple(offsets.tolist()))


def _requantize(rng: Rng, channels: int, output: ActType, bits: int) -> Requantize:
    shift = int(rng.integers(bits + 4, bits + 16))
    one_shift = rng.random() < 0.5
    size = channels if rng.random() < 0.7 else 1
    return Requantize(
        multiplier=np.ones(1, int) if rng.random() < 0.2 else rng.integers(0, 1 << 16, size),
        shift=np.array([shift]) if one_shift else rng.integers(shift - 3, shift + 3, channels),
        rounding=rng.choice(list(Rounding)),
        overflow=rng.choice(list(Overflow)),
        clamp=(output.zero_point, output.high) if rng.random() < 0.3 else None,
    )

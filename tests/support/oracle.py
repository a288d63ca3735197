"""The arithmetic again, in plain Python integers and loops: slow, and independent of NumPy."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import floor, lcm

from systolith.network import (
    ActType,
    Add,
    ArgMax,
    AvgPool2d,
    Concat,
    Conv2d,
    DepthToSpace,
    Flatten,
    IntArray,
    Layer,
    Linear,
    MaxPool2d,
    Moving,
    Multiply,
    Overflow,
    Pad2d,
    Requantize,
    Rounding,
    SelectChannels,
    Shape,
    SpaceToDepth,
    Table,
    Tensor,
    Upsample,
)

Image = list[list[list[int]]]


def requantize_one(acc: int, spec: Requantize, channel: int, output: ActType) -> int:
    """Requantize one accumulator with rationals."""
    if spec.thresholds is not None:
        row = spec.thresholds[channel % len(spec.thresholds)].tolist()
        return output.low + sum(acc >= threshold for threshold in row)
    factors = spec.negative if acc < 0 and spec.negative is not None else spec.multiplier
    multiplier = int(factors[channel % len(factors)])
    shift = int(spec.shift[channel % len(spec.shift)])
    offset = 0 if spec.offset is None else int(spec.offset[channel % len(spec.offset)])
    y = shift_one(acc * multiplier + offset, shift, spec.rounding) + output.zero_point
    if spec.overflow is Overflow.SATURATE:
        y = sorted((output.low, y, output.high))[1]
    else:
        while y > output.high:
            y -= 2**output.bits * max(1, (y - output.high) // 2**output.bits)
        while y < output.low:
            y += 2**output.bits * max(1, (output.low - y) // 2**output.bits)
    if spec.clamp is not None:
        y = sorted((spec.clamp[0], y, spec.clamp[1]))[1]
    return y


def shift_one(product: int, shift: int, rounding: Rounding) -> int:
    """Divide by a power of two and round; TFLite divides by 2**31 first, if it can."""
    if rounding is Rounding.TFLITE and shift > 31:
        once = _rounded(Fraction(product, 2**31), Rounding.HALF_UP)
        size = floor(Fraction(abs(once), 2 ** (shift - 31)) + Fraction(1, 2))
        return size if once > 0 else -size
    return _rounded(Fraction(product, 2**shift), rounding)


def _rounded(value: Fraction, rounding: Rounding) -> int:
    match rounding:
        case Rounding.FLOOR:
            return floor(value)
        case Rounding.HALF_UP | Rounding.TFLITE:
            return floor(value + Fraction(1, 2))
        case Rounding.HALF_EVEN:
            return round(value)


def layer_terms(layer: Conv2d, image: Image, f: int, y: int, x: int, zero: int) -> list[int]:
    """All products that one output of a convolution adds, those of padding left out."""
    terms = []
    _, per_filter, kh, kw = layer.weight.shape
    first = 0 if layer.groups == 1 else f // (len(layer.weight) // layer.groups)
    for c, i, j in product(range(per_filter), range(kh), range(kw)):
        row = y * layer.stride[0] + i * layer.dilation[0] - layer.padding[0]
        column = x * layer.stride[1] + j * layer.dilation[1] - layer.padding[2]
        channel = image[first + c]
        if 0 <= row < len(channel) and 0 <= column < len(channel[0]):
            terms.append(int(layer.weight[f, c, i, j]) * (channel[row][column] - zero))
    return terms


def window(image: Image, c: int, y: int, x: int, layer: MaxPool2d | AvgPool2d) -> list[int]:
    """All values that one window of a pool reads, those of padding left out."""
    height, width = len(image[c]), len(image[c][0])
    kh, kw = layer.kernel_size or (height, width)
    down, right = layer.dilation if isinstance(layer, MaxPool2d) else (1, 1)
    values = []
    for i, j in product(range(kh), range(kw)):
        row = y * layer.stride[0] + i * down - layer.padding[0]
        column = x * layer.stride[1] + j * right - layer.padding[2]
        if 0 <= row < height and 0 <= column < width:
            values.append(image[c][row][column])
    return values


def place(layer: Moving, shapes: Sequence[Shape], c: int, y: int, x: int) -> tuple[int, ...]:
    """Input number, channel, row and column of the value that a layer moves to (c, y, x)."""
    match layer:
        case Concat():
            number = 0
            while c >= shapes[number][0]:
                c -= shapes[number][0]
                number += 1
            return number, c, y, x
        case SelectChannels():
            return 0, layer.channels[c], y, x
        case DepthToSpace(sides=(rows, columns)):
            part = (y % rows) * columns + x % columns
            return 0, part * (shapes[0][0] // (rows * columns)) + c, y // rows, x // columns
        case SpaceToDepth(sides=(rows, columns)):
            part, channel = divmod(c, shapes[0][0])
            return 0, channel, y * rows + part // columns, x * columns + part % columns


def move(layer: Moving, values: Sequence[IntArray], shapes: Sequence[Shape]) -> list[object]:
    """One layer that only moves values."""
    channels, *size = layer.output_shape(shapes)
    height, width = size or (1, 1)

    def value(c: int, y: int, x: int) -> int:
        number, *source = place(layer, shapes, c, y, x)
        return int(values[number][tuple(source[: values[number].ndim])])

    if not size:
        return [value(c, 0, 0) for c in range(channels)]
    return [
        [[value(c, y, x) for x in range(width)] for y in range(height)] for c in range(channels)
    ]


def average_area(layer: AvgPool2d, shape: Shape, y: int, x: int) -> int:
    """Count the pixels of one window in the image or the counted padding, one by one."""
    _, height, width = shape
    kh, kw = layer.kernel_size or (height, width)
    top, bottom, left, right = layer.padding if layer.counted is None else layer.counted
    return sum(
        -top <= y * layer.stride[0] + i - layer.padding[0] < height + bottom
        and -left <= x * layer.stride[1] + j - layer.padding[2] < width + right
        for i, j in product(range(kh), range(kw))
    )


def average_factor(layer: AvgPool2d, shape: Shape, y: int, x: int) -> int:
    """Least common multiple of all areas over that of one window."""
    _, rows, columns = layer.output_shape([shape])
    areas = [average_area(layer, shape, *place) for place in product(range(rows), range(columns))]
    return lcm(*areas) // average_area(layer, shape, y, x)


def find_greatest(values: Sequence[int]) -> int:
    """Number of the greatest value; of equal ones the first."""
    best = 0
    for number, value in enumerate(values):
        if value > values[best]:
            best = number
    return best


def naive(layer: Layer, values: Sequence[IntArray], inputs: Sequence[Tensor]) -> list[object]:
    """One layer for one image (no batch axis), as nested lists."""
    x, zero = values[0].tolist(), inputs[0].type.zero_point
    shape = layer.output_shape([tensor.shape for tensor in inputs])
    match layer:
        case Concat() | SelectChannels() | DepthToSpace() | SpaceToDepth():
            return move(layer, values, [tensor.shape for tensor in inputs])
        case Flatten():
            return (
                [value for channel in x for row in channel for value in row]
                if len(inputs[0].shape) == 3
                else x
            )
        case Linear():
            return [
                requantize_one(
                    sum(int(w) * (value - zero) for w, value in zip(row, x, strict=True))
                    + int(bias),
                    layer.requantize,
                    o,
                    layer.output,
                )
                for o, (row, bias) in enumerate(zip(layer.weight, layer.bias, strict=True))
            ]
        case ArgMax():
            if len(shape) == 1:
                return [find_greatest(x)]
            _, height, width = shape
            places = [[(row, column) for column in range(width)] for row in range(height)]
            pixels = [[[channel[r][c] for channel in x] for r, c in row] for row in places]
            return [[[find_greatest(pixel) for pixel in row] for row in pixels]]
        case Table():
            entries, low = layer.values.tolist(), inputs[0].type.low

            def look_up(value: object) -> object:
                if isinstance(value, list):
                    return [look_up(part) for part in value]
                assert isinstance(value, int)
                return entries[value - low]

            return [look_up(part) for part in x]
        case Add():
            other = values[1].tolist()
            zero_other = inputs[1].type.zero_point
            a, b = layer.multipliers

            def add(p: object, q: object, channel: int) -> object:
                if isinstance(p, list) and isinstance(q, list):
                    return [add(r, s, channel) for r, s in zip(p, q, strict=True)]
                assert isinstance(p, int) and isinstance(q, int)
                terms = [(p - zero) * a, (q - zero_other) * b]
                if layer.shifts is not None:
                    rounding, by = layer.requantize.rounding, 2**layer.left_shift
                    terms = [
                        shift_one(term * by, shift, rounding)
                        for term, shift in zip(terms, layer.shifts, strict=True)
                    ]
                acc = sum(terms)
                return requantize_one(acc, layer.requantize, channel, layer.output)

            return [add(p, q, c) for c, (p, q) in enumerate(zip(x, other, strict=True))]
        case Multiply():
            second, zero_second = values[1].tolist(), inputs[1].type.zero_point

            def multiply(p: object, q: object, channel: int) -> object:
                if isinstance(p, list) and isinstance(q, list):
                    return [multiply(r, s, channel) for r, s in zip(p, q, strict=True)]
                assert isinstance(p, int) and isinstance(q, int)
                acc = (p - zero) * (q - zero_second)
                return requantize_one(acc, layer.requantize, channel, layer.output)

            return [multiply(p, q, c) for c, (p, q) in enumerate(zip(x, second, strict=True))]
    channels, height, width = shape
    _, high, wide = (*inputs[0].shape, 1, 1)[:3]

    def one(c: int, row: int, column: int) -> int:
        match layer:
            case Conv2d():
                acc = sum(layer_terms(layer, x, c, row, column, zero)) + int(layer.bias[c])
                return requantize_one(acc, layer.requantize, c, layer.output)
            case MaxPool2d():
                return max(window(x, c, row, column, layer))
            case Pad2d():
                y, left = row - layer.padding[0], column - layer.padding[2]
                inside = 0 <= y < high and 0 <= left < wide
                if layer.edge:
                    return int(x[c][sorted((0, y, high - 1))[1]][sorted((0, left, wide - 1))[1]])
                fill = zero if layer.value is None else layer.value
                return int(x[c][y][left]) if inside else fill
            case Upsample():
                value = x[c]
                if isinstance(value, list):
                    value = value[row // layer.factors[0]][column // layer.factors[1]]
                return int(value)
            case AvgPool2d():
                acc = sum(value - zero for value in window(x, c, row, column, layer))
                weighed = acc * average_factor(layer, inputs[0].shape, row, column)
                return requantize_one(weighed, layer.requantize, c, layer.output)
        raise TypeError(layer)

    return [
        [[one(c, row, column) for column in range(width)] for row in range(height)]
        for c in range(channels)
    ]

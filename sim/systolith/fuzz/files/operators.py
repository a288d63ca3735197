"""Draw operators with arithmetic."""

import numpy as np

from systolith.fuzz.files.sheet import Sheet

__all__ = ["FUSED", "draw_convolution", "draw_function", "draw_pool", "draw_weighted"]

SAME, VALID = 0, 1
FUSED = (0, 0, 1, 3, 2)
"""None, RELU, RELU6, RELU_N1_TO_1."""
UNARY = (
    "LOGISTIC",
    "TANH",
    "HARD_SWISH",
    "LEAKY_RELU",
    "RELU",
    "RELU6",
    "GELU",
    "ABS",
    "EXP",
    "NEG",
)
UNARY_OPTIONS = {"LEAKY_RELU": ("LeakyReluOptions", {"Alpha": 0.1})}
REAL_FUNCTIONS = ("TANH", "LOGISTIC", "GELU", "RELU6", "SQUARE", "SIN", "NEG")


def draw_weighted(sheet: Sheet, source: int) -> list[int]:
    """Draw a convolution of an image, or a linear layer of a vector."""
    axes = len(sheet.shape(source))
    if axes != 4 or sheet.choices.chance(8):
        return [_draw_dense(sheet, source)]
    if sheet.choices.chance(15):
        return [_draw_transposed(sheet, source)]
    return [draw_convolution(sheet, source)]


def _draw_dense(sheet: Sheet, source: int) -> int:
    choices, rng, filters = sheet.choices, sheet.rng, sheet.choices.integer(1, 6)
    shape = sheet.shape(source)
    keeps = len(shape) > 2 and choices.chance(70)
    features = shape[-1] if keeps else int(np.prod(shape))
    weight = rng.integers(-127, 128, (filters, features), dtype=np.int8)
    scale = rng.uniform(0.0005, 0.01, filters if choices.chance(30) else 1)
    if choices.chance(25):
        scale = np.array([choices.one_of((1 / 64, 1 / 256, 3 / 128))])
    inputs = [source, sheet.constant(weight, scale=scale)]
    if choices.chance(70):
        # The kernel compares the bias's scale with those of input and weights, if they are one.
        given = scale * sheet.file.tensors[source].scale[0] if len(scale) == 1 else ()
        bias = rng.integers(-9999, 9999, filters, dtype=np.int32)
        inputs.append(sheet.constant(bias, scale=given))
    activation = choices.one_of(FUSED)
    result = (*shape[:-1], filters) if keeps else (1, filters)
    return sheet.operator(
        "FULLY_CONNECTED", inputs, result, "FullyConnectedOptions",
        FusedActivationFunction=activation, KeepNumDims=int(keeps),
    )  # fmt: skip


def draw_convolution(sheet: Sheet, source: int) -> int:
    """Draw a convolution of one image, or of several at once."""
    choices, rng = sheet.choices, sheet.rng
    count, height, width, channels = sheet.shape(source)
    depthwise, filters = choices.chance(35), choices.integer(1, 5)
    groups = 1
    if depthwise:
        filters = channels * choices.integer(1, 2)
    elif channels % 2 == 0 and choices.chance(20):
        groups, filters = 2, 2 * choices.integer(1, 3)
    stride, dilation = choices.one_of((1, 1, 2)), choices.one_of((1, 1, 1, 2))
    if count > 1 and choices.chance(80):
        stride = 1
    dilation = 1 if stride > 1 else dilation
    padding = choices.one_of((SAME, VALID))
    kernel = [choices.integer(1, 3) for _ in range(2)]
    if padding == VALID:
        sizes = zip(kernel, (height, width), strict=True)
        kernel = [min(k, (size - 1) // dilation + 1) for k, size in sizes]
    weight_shape = (1, *kernel, filters) if depthwise else (filters, *kernel, channels // groups)
    weight = rng.integers(-127, 128, weight_shape, dtype=np.int8)
    scales = rng.uniform(0.0005, 0.01, filters).astype(np.float32)
    inputs = [
        source,
        sheet.constant(weight, scale=scales, axis=3 if depthwise else 0),
        sheet.constant(rng.integers(-9999, 9999, filters, dtype=np.int32)),
    ]
    fields = {
        "Padding": padding,
        "StrideH": stride,
        "StrideW": stride,
        "FusedActivationFunction": choices.one_of(FUSED),
        "DilationHFactor": dilation,
        "DilationWFactor": dilation,
    }
    if depthwise:
        fields["DepthMultiplier"] = filters // channels
    size = [
        -(-length // stride) if padding == SAME else (length - (k - 1) * dilation - 1) // stride + 1
        for length, k in zip((height, width), kernel, strict=True)
    ]
    kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
    options = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
    return sheet.operator(kind, inputs, (count, *size, filters), options, **fields)


def _draw_transposed(sheet: Sheet, source: int) -> int:
    choices, rng = sheet.choices, sheet.rng
    _, height, width, channels = sheet.shape(source)
    filters, strides = choices.integer(1, 4), [choices.integer(1, 3) for _ in range(2)]
    padding, kernel = choices.one_of((SAME, VALID)), [choices.integer(1, 4) for _ in range(2)]
    size = [
        length * stride - choices.integer(0, stride - 1)
        if padding == SAME
        else (length - 1) * stride + taps
        for length, taps, stride in zip((height, width), kernel, strides, strict=True)
    ]
    weight = rng.integers(-127, 128, (filters, *kernel, channels), dtype=np.int8)
    scales = rng.uniform(0.0005, 0.01, filters).astype(np.float32)
    shape = (1, *size, filters)
    inputs = [sheet.constant(shape), sheet.constant(weight, scale=scales), source]
    fields = {"Padding": padding, "StrideH": strides[0], "StrideW": strides[1]}
    if choices.chance(70):
        inputs.append(sheet.constant(rng.integers(-9999, 9999, filters, dtype=np.int32)))
        fields["FusedActivationFunction"] = choices.one_of(FUSED)
    return sheet.operator("TRANSPOSE_CONV", inputs, shape, "TransposeConvOptions", **fields)


def draw_pool(sheet: Sheet, source: int) -> list[int]:
    """Draw a pool, or a mean or maximum over axes."""
    choices, shape = sheet.choices, sheet.shape(source)
    if len(shape) == 3:
        keeps = choices.chance(50)
        return [
            sheet.operator(
                "MEAN", [source, sheet.constant([1])],
                (1, 1, shape[2]) if keeps else (1, shape[2]), "ReducerOptions", KeepDims=int(keeps),
            )
        ]  # fmt: skip
    if len(shape) != 4:
        return draw_function(sheet, source)
    _, height, width, channels = sheet.shape(source)
    kind = choices.one_of(("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "REDUCE_MAX"))
    if kind in ("MEAN", "REDUCE_MAX"):
        axes = choices.one_of(((1, 2), (1, 2), (1,), (2,), (2, 1), (-2, -3)))
        keeps, gone = choices.chance(60), {axis % 4 for axis in axes}
        size = [
            1 if axis in gone else length
            for axis, length in ((1, height), (2, width))
            if keeps or axis not in gone
        ]
        like = source if kind == "REDUCE_MAX" or choices.chance(30) else None
        return [
            sheet.operator(
                kind, [source, sheet.constant(axes)], (1, *size, channels), "ReducerOptions",
                like=like, KeepDims=int(keeps),
            )
        ]  # fmt: skip
    padding, stride = choices.one_of((VALID, SAME)), choices.integer(1, 3)
    kernel = [choices.integer(1, 4) for _ in range(2)]
    if padding == VALID:
        kernel = [min(kernel[0], height), min(kernel[1], width)]
    size = [
        -(-length // stride) if padding == SAME else (length - k) // stride + 1
        for length, k in zip((height, width), kernel, strict=True)
    ]
    fused = choices.one_of(FUSED) if kind == "AVERAGE_POOL_2D" else 0
    return [
        sheet.operator(
            kind, [source], (1, *size, channels), "Pool2DOptions", like=source, Padding=padding,
            StrideH=stride, StrideW=stride, FilterHeight=kernel[0], FilterWidth=kernel[1],
            FusedActivationFunction=fused,
        )
    ]  # fmt: skip


def draw_function(sheet: Sheet, source: int) -> list[int]:
    """Draw a function of each value: of integers, of real numbers, or with a constant."""
    choices, shape = sheet.choices, sheet.shape(source)
    match choices.integer(0, 9):
        case 0 | 1 | 2 | 3:
            kind = choices.one_of(UNARY)
            options, fields = UNARY_OPTIONS.get(kind, ("", {}))
            if kind == "LOGISTIC":  # the kernel wants this scale
                result = sheet.file.tensor(sheet.name(kind), shape, 1 / 256, -128)
            elif kind == "TANH":
                result = sheet.file.tensor(sheet.name(kind), shape, 1 / 128, 0)
            else:
                result = sheet.activation(sheet.name(kind), shape)
            sheet.file.operator(kind, [source], [result], options, **fields)
            return [result]
        case 4 | 5:
            return [sheet.operator("QUANTIZE", [source], shape)]
        case 6 | 7:
            return [_draw_real_functions(sheet, source)]
        case 8:
            gate = sheet.file.tensor(sheet.name("LOGISTIC"), shape, 1 / 256, -128)
            sheet.file.operator("LOGISTIC", [source], [gate])
            return [sheet.operator("MUL", [source, gate], shape, "MulOptions")]
        case _:
            kind = choices.one_of(("ADD", "MUL", "SUB"))
            value = sheet.rng.integers(-128, 128, (), dtype=np.int8)
            number = sheet.constant(np.asarray(value), scale=sheet.scale())
            fused = choices.one_of(FUSED)
            options = f"{kind.title()}Options"
            return [
                sheet.operator(
                    kind, [source, number], shape, options, FusedActivationFunction=fused
                )
            ]


def _draw_real_functions(sheet: Sheet, source: int) -> int:
    """Draw a dequantizer, functions of real numbers, and a quantizer."""
    shape = sheet.shape(source)
    x = sheet.activation(sheet.name("DEQUANTIZE"), shape, dtype="float32")
    sheet.file.operator("DEQUANTIZE", [source], [x])
    for kind in sheet.choices.subset(REAL_FUNCTIONS, 25):
        y = sheet.activation(sheet.name(kind), shape, dtype="float32")
        sheet.file.operator(kind, [x], [y])
        x = y
    return sheet.operator("QUANTIZE", [x], shape)

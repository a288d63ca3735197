"""Write layers of ONNX graphs, with attributes of every kind."""

from typing import Any

import numpy as np

from systolith.fuzz.graphs.writer import ImpossibleNodeError, Writer

__all__ = [
    "draw_window",
    "write_batch_norm",
    "write_clip",
    "write_constant_operation",
    "write_flatten",
    "write_function",
    "write_global_pool",
    "write_identity",
    "write_pad",
    "write_pool",
    "write_unflatten",
]

AXES_AS_INPUT = {"Squeeze": 13, "Unsqueeze": 13, "ReduceMean": 18, "Pad": 11, "Clip": 11}
"""Operator sets from which on a parameter is an input; before, it is an attribute."""
FUNCTIONS = {
    **dict.fromkeys(("Abs", "Elu", "HardSigmoid", "LeakyRelu", "Neg", "Selu", "Sigmoid"), 6),
    **dict.fromkeys(("Softplus", "Softsign", "Tanh"), 6),
    **{"Erf": 9, "Round": 11, "HardSwish": 14, "Mish": 18, "Gelu": 20},
}
"""Operators that compute each value on its own, and the operator sets that brought them."""


def write_batch_norm(writer: Writer, x: str) -> str:
    """Write a BatchNormalization."""
    if not writer.shape(x):
        raise ImpossibleNodeError(f"{x} has no channels")
    rng, channels = writer.choices.generator(), writer.values[x].shape[1]
    gamma: Any
    variance: Any
    mean: Any
    beta: Any
    if writer.dyadic:
        gamma, variance = (
            np.exp2(rng.integers(-1, 2, channels)),
            4.0 ** rng.integers(-1, 2, channels),
        )
        mean, beta = rng.integers(-8, 9, channels) / 4, rng.integers(-8, 9, channels) / 4
        options: dict[str, Any] = {"epsilon": 0.0}
    else:
        gamma, variance = rng.uniform(0.5, 2, channels), rng.uniform(0.2, 4, channels)
        mean, beta, options = rng.normal(0, 1, channels), rng.normal(0, 1, channels), {}
    if writer.chance(25):
        gamma = gamma * rng.choice([-1, 1], channels)
    if writer.chance(20):
        options["momentum"] = 0.5
    outputs = 1
    if writer.rarely(2) and writer.opset >= 14:
        options["training_mode"] = 1
        outputs, writer.dyadic = 3, False
    given = [writer.const(values) for values in (gamma, beta, mean, variance)]
    return writer.add("BatchNormalization", x, *given, outputs=outputs, **options)


def write_clip(writer: Writer, x: str) -> str:
    """Write a Relu or a Clip."""
    if writer.chance(65):
        return writer.add("Relu", x)
    low, high = writer.choices.one_of([(0.0, 6.0), (0.0, 4.0), (-1.0, 1.0), (0.0, 64.0)])
    if writer.opset < AXES_AS_INPUT["Clip"]:
        return writer.add("Clip", x, min=low, max=high)
    bounds = [writer.const(low), writer.const(high)]
    match writer.choices.integer(0, 5):
        case 0:
            bounds = bounds[:1]
        case 1:
            bounds = ["", bounds[1]]
        case 2:
            bounds = [bounds[0], ""]
    return writer.add("Clip", x, *bounds)


def write_function(writer: Writer, x: str) -> str:
    """Write a function of each value, or a product of a value and its function."""
    op = writer.choices.one_of([op for op, since in FUNCTIONS.items() if since <= writer.opset])
    y = writer.add(op, x)
    return writer.add("Mul", x, y) if writer.chance(30) else y


def write_constant_operation(writer: Writer, x: str) -> str:
    """Write a multiplication by constants, or an addition of constants."""
    choices, rng = writer.choices, writer.choices.generator()
    shape = writer.shape(x)
    sizes = [(), (1,), (1, shape[0], *[1] * (len(shape) - 1)), (shape[0], *[1] * (len(shape) - 1))]
    size = choices.one_of(sizes)
    if writer.rarely():
        size = choices.one_of([shape, (1, *shape), shape[-1:]])
    factors = np.exp2(rng.integers(-1, 2, size))
    if not writer.dyadic:
        factors = factors * rng.uniform(0.8, 1.25)
    match choices.integer(0, 4):
        case 0:
            operands, op = [x, writer.const(factors)], "Mul"
        case 1:
            operands, op = [x, writer.const(factors)], "Div"
        case 2:
            operands, op = [x, writer.const(rng.integers(-8, 9, size) / 2)], "Sub"
        case _:
            operands, op = [x, writer.const(rng.integers(-8, 9, size) / 2)], "Add"
    if op in ("Mul", "Add") and writer.chance(30):
        operands.reverse()
    if writer.rarely() and op == "Mul":
        operands = [x, writer.const(-factors)]
    if writer.rarely():
        op, operands = choices.one_of(["Div", "Sub"]), [operands[1], operands[0]]
        writer.dyadic = False
    return writer.add(op, *operands)


def draw_window(writer: Writer, kernel: list[int], *, most_pad: int = 2) -> dict[str, Any]:
    """Draw strides and pads, or an automatic padding."""
    choices = writer.choices
    options: dict[str, Any] = {}
    if writer.chance(40):
        options["strides"] = [choices.integer(1, 3), choices.integer(1, 3)]
    match choices.integer(0, 9):
        case 0 | 1 | 2 | 3:
            by = [min(choices.integer(0, most_pad), kernel[place % 2] - 1) for place in range(4)]
            options["pads"] = by
        case 4:
            options["auto_pad"] = choices.one_of(["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
    if writer.rarely():
        options["pads"] = [choices.integer(0, 3) for _ in range(4)]
        options.pop("auto_pad", None)
    return options


def write_pool(writer: Writer, x: str) -> str:
    """Write a MaxPool or an AveragePool."""
    choices, (_, height, width) = writer.choices, writer.image(x)
    kernel = [choices.integer(1, min(3, height)), choices.integer(1, min(3, width))]
    options = {"kernel_shape": kernel, **draw_window(writer, kernel, most_pad=1)}
    op = choices.one_of(["MaxPool", "AveragePool"])
    if writer.rarely(2):
        options["ceil_mode"] = choices.integer(0, 1)
    if writer.rarely(2) and (op == "MaxPool" or writer.opset >= 19):
        options["dilations"] = [choices.integer(1, 2), choices.integer(1, 2)]
    if op == "AveragePool":
        writer.dyadic &= (kernel[0] * kernel[1]).bit_count() == 1
        if not any(options.get("pads", [0])) or not writer.rarely(3):
            options["count_include_pad"] = 1
        if options.get("auto_pad", "NOTSET").startswith("SAME") or options.get("ceil_mode"):
            writer.dyadic = False
        if not options.get("count_include_pad"):
            writer.dyadic = False
    elif writer.rarely():
        options["storage_order"] = 1
    return writer.add(op, x, **options)


def write_global_pool(writer: Writer, x: str) -> str:
    """Write a pool over the whole image."""
    choices = writer.choices
    area = int(np.prod(writer.image(x)[1:]))
    writer.dyadic &= area.bit_count() == 1
    if writer.chance(50):
        return writer.add("GlobalAveragePool", x)
    axes = choices.one_of([[2, 3], [-2, -1], [3, 2], [2, -1]])
    if writer.rarely(2):
        axes = choices.one_of([[1, 2, 3], [2], [0, 2, 3], [1]])
    options: dict[str, Any] = {}
    if writer.chance(60):
        options["keepdims"] = choices.integer(0, 1)
    if writer.opset < AXES_AS_INPUT["ReduceMean"]:
        return writer.add("ReduceMean", x, axes=axes, **options)
    if writer.rarely(2):
        options["noop_with_empty_axes"] = choices.integer(0, 1)
        axes = choices.one_of([axes, []])
    return writer.add("ReduceMean", x, writer.const(axes, np.int64), **options)


def write_pad(writer: Writer, x: str) -> str:
    """Write a Pad."""
    choices = writer.choices
    pads = [0, 0, choices.integer(0, 1), choices.integer(0, 2), 0, 0, 1, choices.integer(0, 1)]
    options: dict[str, Any] = {"mode": "constant"} if writer.chance(40) else {}
    if writer.rarely():
        options["mode"] = choices.one_of(["reflect", "edge"])
    value = 0.0 if not writer.rarely() else 1.0
    if writer.rarely():
        pads = choices.one_of([[0, 1, 1, 1, 0, 0, 1, 1], [0, 0, -1, 0, 0, 0, 0, -1]])
    if writer.opset < AXES_AS_INPUT["Pad"]:
        return writer.add("Pad", x, pads=pads, value=value, **options)
    inputs = [writer.const(pads, np.int64)]
    if value or writer.chance(50):
        inputs.append(writer.const(value))
    if writer.opset >= 18 and writer.chance(25):
        inputs += [""] * (2 - len(inputs))
        by = [pads[2], pads[3], pads[6], pads[7]]
        axes = choices.one_of([[2, 3], [-2, -1], [3, 2]])
        inputs = [writer.const(by, np.int64), inputs[1], writer.const(axes, np.int64)]
    return writer.add("Pad", x, *inputs, **options)


def write_identity(writer: Writer, x: str) -> str:
    """Write operators that change no value."""
    match writer.choices.integer(0, 4):
        case 0:
            return writer.add("Identity", x)
        case 1 if writer.opset >= 12:
            given = [writer.const(0.5)] if writer.chance(50) else []
            return writer.add("Dropout", x, *given)
        case 2 if len(writer.shape(x)) == 3 and writer.rarely(4):
            return writer.add(
                "Transpose", writer.add("Transpose", x, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2]
            )
        case 3:
            return writer.add("Cast", x, to=1)
        case _:
            return writer.add("Identity", x)


def write_unflatten(writer: Writer, x: str) -> str:
    """Write an operator that turns vectors into images."""
    (features,) = writer.vector(x)
    if writer.chance(50):
        shape = writer.choices.one_of([[0, features, 1, 1], [-1, 1, features, 1], [0, 1, 1, -1]])
        return writer.add("Reshape", x, writer.const(shape, np.int64))
    if writer.opset < AXES_AS_INPUT["Unsqueeze"]:
        return writer.add("Unsqueeze", x, axes=[2, 3])
    return writer.add("Unsqueeze", x, writer.const([2, 3], np.int64))


def write_flatten(writer: Writer, x: str) -> str:
    """Write a Flatten, Reshape or Squeeze, or a Reshape with a computed shape."""
    choices, shape = writer.choices, writer.shape(x)
    features = int(np.prod(shape))
    if writer.rarely():
        axis = choices.one_of([2, 3, 0, -1])
        return writer.add("Flatten", x, axis=axis)
    match choices.integer(0, 7):
        case 0 | 1 | 2:
            options: dict[str, Any] = choices.one_of([{}, {"axis": 1}, {"axis": -3}])
            return writer.add("Flatten", x, **options)
        case 3 if shape[1:] == (1, 1):
            axes = choices.one_of([[2, 3], [-1, -2], [3, 2]])
            if writer.opset < AXES_AS_INPUT["Squeeze"]:
                return writer.add("Squeeze", x, axes=axes)
            return writer.add("Squeeze", x, writer.const(axes, np.int64))
        case 4:
            rest = choices.one_of([[0, -1], [-1, features], [0, features]])
            options = {"allowzero": 0} if writer.opset >= 14 and writer.chance(30) else {}
            return writer.add("Reshape", x, writer.const(rest, np.int64), **options)
        case 5:
            return _reshape_by_shape(writer, x)
        case 6 if writer.rarely(4):
            turned = writer.add("Transpose", x, perm=[0, 2, 3, 1])
            return writer.add("Flatten", turned)
        case _:
            return writer.add("Reshape", x, writer.const([0, -1], np.int64))


def _reshape_by_shape(writer: Writer, x: str) -> str:
    """Write the export of ``x.view(x.size(0), -1)``."""
    batch = writer.add("Gather", writer.add("Shape", x), writer.const(0, np.int64), axis=0)
    if writer.opset < AXES_AS_INPUT["Unsqueeze"]:
        batch = writer.add("Unsqueeze", batch, axes=[0])
    else:
        batch = writer.add("Unsqueeze", batch, writer.const([0], np.int64))
    shape = writer.add("Concat", batch, writer.const([-1], np.int64), axis=0)
    return writer.add("Reshape", x, shape)

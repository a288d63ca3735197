"""Recognition of recorded calls: the operation in hardware, or reasons why there is none."""

from collections.abc import Callable

import torch
from torch import Size, Tensor, fx, nn

from systolith.quant.layers.requantizing import RELU6_LIMIT, Activation
from systolith.quant.recognition.calls.arithmetic import (
    add,
    divide,
    multiply,
    negate,
    subtract,
    subtract_from,
)
from systolith.quant.recognition.calls.remedies import SUPPORTED, unsupported
from systolith.quant.recognition.calls.transposed import transposed_convolution
from systolith.quant.recognition.calls.windows import (
    adaptive_average_pool,
    adaptive_max_pool,
    average_pool,
    convolution_padding,
    cut_out,
    enlarge,
    max_pool,
    maximum,
    mean,
    padding_problems,
    total,
    zero_pad,
)
from systolith.quant.recognition.operations import (
    Activate,
    Apply,
    AveragePool,
    Convolve,
    Join,
    MatrixMultiply,
    MaxPool,
    Move,
    Normalize,
    Operation,
    Pass,
    Recognized,
    Reshape,
    Softmax,
)
from systolith.trace import Call

__all__ = ["SUPPORTED", "depends_on_size", "recognize"]

RESHAPE = "flatten with torch.flatten(x, 1) or nn.Flatten()"
IMAGE_OF_A_VECTOR = (
    "makes an image of a vector; write a Linear behind a Flatten as a Conv2d over the whole image, "
    "and a Linear in front of this as a ConvTranspose2d of its one pixel"
)
EVALUATED = "needs training=False; put the model into evaluation mode before it is exported"
CONSTANT_WEIGHTS = "needs weights that do not depend on the images"
_ZEROS_AND_ONES = "a frozen Conv2d with a kernel of 1x1, of ones and zeros,"
SLICE = (
    f"cannot leave parts of a tensor out; {_ZEROS_AND_ONES} and a stride, computes every second "
    "pixel, or some of the channels"
)
MOVE = (
    "needs to move whole channels, or blocks of pixels to channels and back, before the next layer"
)
CHANNELS = f"cannot add channels of zeros; {_ZEROS_AND_ONES} computes the same"


def recognize(call: Call) -> Recognized:
    """Recognize a call.

    Modules are known by their exact types, because a subclass may compute something else.
    """
    rule = _RULES.get(call.operator)
    if rule is None:
        return None, [unsupported(call)]
    if call.operator in ("conv2d", "conv_transpose2d", "linear", "batch_norm", "cat", "prelu"):
        return rule(call)
    if call.problems:
        return None, list(call.problems)
    for name, value in call.arguments.items():
        if name in ("input", "other") or (call.operator == "index_select" and name == "index"):
            continue
        if isinstance(value, fx.Node):
            return None, [f"needs {name} to be a constant, got an activation"]
        if isinstance(value, Tensor) and value.numel() != 1:
            return None, [f"needs {name} to be one number, got shape {tuple(value.shape)}"]
    if call.operator not in ("add", "mul") and not isinstance(call.arguments.get("input"), fx.Node):
        return None, [SUPPORTED]
    return rule(call)


def depends_on_size(call: Call, operation: Operation | None) -> bool:
    """Whether a call would be another operation for images of another size.

    Windows computed from the size depend on it, and so do ``ceil_mode``, which adds a window at
    some sizes, indices, which leave something out at others, and resizing to a given size.
    """
    if isinstance(operation, AveragePool) and operation.kernel_size is None:
        return False
    match call.operator:
        case "max_pool2d" | "avg_pool2d" if isinstance(operation, AveragePool | MaxPool):
            return bool(call.arguments.get("ceil_mode"))
        case "interpolate":
            return call.arguments.get("size") is not None
        case "getitem":
            index = call.arguments["index"]
            parts = index if isinstance(index, tuple) else (index,)
            whole = [part is None or part is Ellipsis or part == slice(None) for part in parts]
            if len(call.input) == 4 and not any(part in (None, Ellipsis) for part in parts[:2]):
                return not all(whole[2:])  # images and channels come first
            return not all(whole)
        case _:
            return call.operator.startswith("adaptive") or call.operator in ("mean", "sum", "amax")


def _convolution(call: Call) -> Recognized:
    module, problems = call.module, []
    if not isinstance(module, nn.Conv2d):
        return None, [CONSTANT_WEIGHTS]
    if module.padding_mode != "zeros":
        instead = "; put a ReplicationPad2d in front" if module.padding_mode == "replicate" else ""
        problems.append(f"needs padding_mode 'zeros', got '{module.padding_mode}'{instead}")
    convolution = Convolve(module, convolution_padding(module))
    problems += padding_problems(convolution.padding, convolution.reach)
    return convolution, problems


def _linear(call: Call) -> Recognized:
    if not isinstance(call.module, nn.Linear):
        return None, [CONSTANT_WEIGHTS]
    return MatrixMultiply(call.module), []


def _batch_norm(call: Call) -> Recognized:
    module, problems = call.module, []
    if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        trains = call.arguments.get("training") is True
        return None, [EVALUATED if trains else CONSTANT_WEIGHTS]
    if module.running_mean is None:
        problems.append("needs running statistics, tracks none")
    if len(call.input) not in (2, 4):
        problems.append(f"needs (N, C, H, W) or (N, features), got {call.input}")
    return Normalize(module) if module.running_mean is not None else None, problems


def _relu(call: Call) -> Recognized:
    return Activate(Activation.RELU), []


def _relu6(call: Call) -> Recognized:
    return Activate(Activation.RELU6), []


def _hardtanh(call: Call) -> Recognized:
    return _clip(call.arguments.get("min_val", -1.0), call.arguments.get("max_val", 1.0))


def _clamp(call: Call) -> Recognized:
    return _clip(call.arguments.get("min"), call.arguments.get("max"))


def _clip(low: object, high: object) -> Recognized:
    if low == 0 and high in (None, float("inf")):
        return Activate(Activation.RELU), []
    if low == 0 and high == RELU6_LIMIT:
        return Activate(Activation.RELU6), []
    if isinstance(low, fx.Node) or isinstance(high, fx.Node):
        return None, ["needs constant limits, got an activation"]
    return Apply(), []


def _apply(call: Call) -> Recognized:
    """Recognize a function of each value."""
    return (Apply(), []) if call.keeps_shape else (None, [SUPPORTED])


def _leaky_relu(call: Call) -> Recognized:
    return Apply(slope=torch.tensor([float(call.arguments.get("negative_slope", 0.01))])), []


def _prelu(call: Call) -> Recognized:
    slope = call.arguments.get("weight")
    if call.problems or not call.keeps_shape:
        return None, list(call.problems) or [SUPPORTED]
    if not isinstance(slope, Tensor):
        return None, ["needs weight to be a constant, got an activation"]
    return Apply(slope=slope), []


def _sigmoid(call: Call) -> Recognized:
    return Apply(ordered=True), []


def _softmax(call: Call) -> Recognized:
    """Recognize softmax over the classes, which does not change the predicted class."""
    axis = call.arguments.get("dim")
    if axis is None or axis % len(call.input) != 1:
        return None, [f"needs axis 1, that of the classes, got {axis}; or return the logits"]
    return Softmax(), []


def _argmax(call: Call) -> Recognized:
    """Recognize the number of the greatest logit, the first of equal ones, as the host finds it."""
    axis = call.arguments.get("dim")
    if axis is None or axis % len(call.input) != 1:
        return None, [f"needs dim 1, that of the classes, got {axis}; or return the logits"]
    return Softmax(end=""), []


def _identity(call: Call) -> Recognized:
    return Pass(), []


def _dropout(call: Call) -> Recognized:
    if call.arguments.get("training", True) and call.arguments.get("p", 0.5) != 0:
        return None, ["drops values in evaluation, too; write training=self.training"]
    return Pass(), []


def _reshape(call: Call) -> Recognized:
    return Reshape(_reshape_reason(call)), []


def _reshape_reason(call: Call) -> str:
    """Reason to refuse a new shape that no layer behind it takes."""
    return IMAGE_OF_A_VECTOR if len(call.input) == 2 < len(call.output) else RESHAPE


def _flatten(call: Call) -> Recognized:
    axes = call.arguments.get("start_dim", 0), call.arguments.get("end_dim", -1)
    return Reshape(f"needs axes 1 to -1, got {axes[0]} to {axes[1]}"), []


def _getitem(call: Call) -> Recognized:
    """Recognize slices of rows and columns, and indices that drop or add axes of length 1."""
    if (cut := cut_out(call)) is not None:
        return cut
    index = call.arguments["index"]
    parts = index if isinstance(index, tuple) else (index,)
    plain = all(part is None or part is Ellipsis or type(part) in (int, slice) for part in parts)
    if plain and Size(call.input).numel() == Size(call.output).numel():
        return Reshape(_reshape_reason(call)), []
    if len(call.node.all_input_nodes) > 1:
        return None, ["needs constant indices"]
    return Move(SLICE), []


def _move(call: Call) -> Recognized:
    return Move(MOVE), []


def _select(call: Call) -> Recognized:
    return Move(SLICE), []


def _concatenate(call: Call) -> Recognized:
    tensors = call.arguments.get("tensors")
    if not isinstance(tensors, tuple | list) or not all(isinstance(t, fx.Node) for t in tensors):
        return None, [*call.problems, "needs activations only"]
    axis, reasons = call.arguments.get("dim", 0), list(call.problems)
    if not isinstance(axis, int) or axis % len(call.input) != 1:
        reasons.append(f"needs axis 1, that of the channels, got {axis}")
    return (Join() if len(tensors) > 1 else Pass()), reasons


def _pad(call: Call) -> Recognized:
    sides = call.arguments["pad"]
    if len(call.output) == 4 and call.input[1] != call.output[1] and len(sides) == 6:
        rows = [f"needs rows and columns to add on 2 or 4 sides, got {sides}"]
        return None, rows if any(sides[:4]) else [*rows, CHANNELS]
    return zero_pad(call)


_RULES: dict[str, Callable[[Call], Recognized]] = {
    "conv2d": _convolution,
    "conv_transpose2d": transposed_convolution,
    "linear": _linear,
    "batch_norm": _batch_norm,
    "relu": _relu,
    "relu6": _relu6,
    "hardtanh": _hardtanh,
    "clamp": _clamp,
    **dict.fromkeys(
        (
            "elu",
            "selu",
            "celu",
            "gelu",
            "silu",
            "mish",
            "hardswish",
            "softsign",
        )
        + ("tanh", "hardsigmoid", "logsigmoid", "softplus", "hardshrink", "softshrink")
        + ("tanhshrink", "threshold", "abs", "exp", "expm1", "log", "log1p", "sqrt")
        + ("rsqrt", "square", "reciprocal", "sign", "sin", "cos", "atan", "sinh", "cosh")
        + ("asinh", "erf", "erfc", "round", "floor", "ceil", "trunc", "pow"),
        _apply,
    ),
    "leaky_relu": _leaky_relu,
    "prelu": _prelu,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
    "argmax": _argmax,
    "max_pool2d": max_pool,
    "avg_pool2d": average_pool,
    "adaptive_avg_pool2d": adaptive_average_pool,
    "adaptive_max_pool2d": adaptive_max_pool,
    "mean": mean,
    "sum": total,
    "amax": maximum,
    "add": add,
    "sub": subtract,
    "rsub": subtract_from,
    "neg": negate,
    "mul": multiply,
    "div": divide,
    "flatten": _flatten,
    "reshape": _reshape,
    "reshape_as": _reshape,
    "squeeze": _reshape,
    "unsqueeze": _reshape,
    "unflatten": _reshape,
    "getitem": _getitem,
    "cat": _concatenate,
    "chunk": _select,
    "split": _select,
    "tensor_split": _select,
    "narrow": _select,
    "index_select": _select,
    "transpose": _move,
    "permute": _move,
    "flip": _move,
    "roll": _move,
    "channel_shuffle": _move,
    "pixel_shuffle": _move,
    "pixel_unshuffle": _move,
    "pad": _pad,
    "interpolate": enlarge,
    "identity": _identity,
    "dropout": _dropout,
    "alpha_dropout": _dropout,
}

"""Recognition of additions, products and their likes, with constants or another activation."""

import torch
from torch import Tensor, fx

from systolith.network import Shape
from systolith.quant.recognition.calls.remedies import SUPPORTED
from systolith.quant.recognition.operations import (
    AddUp,
    Combine,
    Pass,
    Recognized,
    ScaleAndShift,
)
from systolith.trace import Call

__all__ = [
    "add",
    "divide",
    "multiply",
    "negate",
    "subtract",
    "subtract_from",
]


TWO_ACTIVATIONS = "needs two functions of one tensor, as in x * sigmoid(x); or add or multiply them"


_Constant = float | Tensor | None


def add(call: Call) -> Recognized:
    """Recognize a sum of two activations, or of one and a constant."""
    alpha = call.arguments.get("alpha", 1)
    one, other = call.arguments.get("input"), call.arguments.get("other")
    if not (isinstance(one, fx.Node) and isinstance(other, fx.Node)):
        constant = one if isinstance(other, fx.Node) else other
        if isinstance(other, fx.Node) and alpha != 1:
            return None, [f"needs alpha 1, got {alpha}"]
        given = "a constant tensor" if isinstance(constant, Tensor) else constant
        reason = f"needs two activations, got {given}"
        return _scale(call, reason, shift=constant, times=alpha)
    return AddUp(), [f"needs alpha 1, got {alpha}"] if alpha != 1 else []


def subtract(call: Call) -> Recognized:
    """Recognize an activation minus a constant, or two functions of one tensor."""
    if isinstance(other := call.arguments.get("other"), fx.Node):
        return _combine(call)
    return _scale(call, SUPPORTED, shift=other, times=-call.arguments.get("alpha", 1))


def subtract_from(call: Call) -> Recognized:
    """Recognize a constant minus an activation."""
    factor = -float(call.arguments.get("alpha", 1))
    return _scale(call, SUPPORTED, factor=factor, shift=call.arguments.get("other"))


def negate(call: Call) -> Recognized:
    """Recognize a change of sign."""
    return _scale(call, SUPPORTED, factor=-1.0)


def multiply(call: Call) -> Recognized:
    """Recognize a product of two activations, or of one and a constant."""
    one, other = call.arguments.get("input"), call.arguments.get("other")
    if isinstance(one, fx.Node) and isinstance(other, fx.Node):
        return Combine(TWO_ACTIVATIONS, multiplies=True), []
    return _scale(call, SUPPORTED, factor=one if isinstance(other, fx.Node) else other)


def divide(call: Call) -> Recognized:
    """Recognize an activation by a constant, or two functions of one tensor."""
    if isinstance(other := call.arguments.get("other"), fx.Node):
        return _combine(call)
    if call.arguments.get("rounding_mode") is not None:
        return None, ["needs rounding_mode None"]
    return _scale(call, SUPPORTED, divisor=other)


def _combine(call: Call) -> Recognized:
    """Recognize arithmetic of two activations; the reader finds out what they depend on."""
    return Combine(TWO_ACTIVATIONS), []


def _scale(
    call: Call,
    reason: str,
    *,
    factor: _Constant = 1.0,
    divisor: _Constant = 1.0,
    shift: _Constant = 0.0,
    times: float = 1.0,
) -> Recognized:
    """Recognize ``x * factor / divisor + shift * times``, or :class:`Pass` if that equals x."""
    constants = [
        _spread(value, call.input) if isinstance(value, int | float | Tensor) else None
        for value in (factor, divisor, shift)
    ]
    numerator, denominator, offset = constants
    if not call.keeps_shape or numerator is None or denominator is None or offset is None:
        return None, [reason]
    scale, offset = numerator / denominator, offset * times
    if bool((scale == 1).all()) and not bool(offset.any()):
        return Pass(), []
    return ScaleAndShift(scale, offset, reason), []


def _spread(value: float | Tensor, shape: Shape) -> Tensor | None:
    """Expand a constant to one image's shape; None if it differs between images."""
    tensor = torch.as_tensor(value).detach().double().cpu()
    if not shape or (tensor.ndim == len(shape) and len(tensor) != 1):
        return None
    if tensor.ndim == len(shape):
        tensor = tensor[0]
    return tensor.expand(shape[1:]) if tensor.ndim < len(shape) else None

"""Operators of QONNX whose tensors keep channels last, (N, H, W, C)."""

from collections.abc import Mapping, Sequence

from systolith.exchange.building import Building
from systolith.exchange.constant_nodes import reordered
from systolith.exchange.declarations import Handler, Operator
from systolith.exchange.errors import ExchangeError
from systolith.exchange.layouts import moved, shape_of
from systolith.exchange.model_file import Node
from systolith.exchange.operators import OPERATORS
from systolith.exchange.values import Value

__all__ = ["DOMAIN", "operator_of"]

DOMAIN = "qonnx.custom_op.channels_last"
KERNEL = (0, 3, 1, 2)
"""Of (filters, height, width, channels), so that channels come second."""


def operator_of(node: Node) -> Operator | None:
    """Find what imports a node; None if nothing does."""
    return (CHANNELS_LAST if node.domain == DOMAIN else OPERATORS).get(node.op)


def _channels_last(run: Handler) -> Handler:
    """Turn what a handler of images reads, and what it gives."""

    def handler(node: Node, values: Sequence[Value], made: Building) -> Value:
        shape = shape_of(values[0])
        if shape is None or len(shape) != 3:
            raise ExchangeError([f"reads shape {shape}; images (N, H, W, C) are supported"])
        image = moved(values[0], lambda parts: parts.transpose(2, 0, 1))
        others = [reordered(value, KERNEL) for value in values[1:]]
        result = run(node, [image, *others], made)
        return moved(result, lambda parts: parts.transpose(1, 2, 0))

    return handler


def _of(name: str) -> Operator:
    standard = OPERATORS[name]
    return Operator(
        _channels_last(standard.run),
        standard.becomes,
        f"QONNX's, channels last: {standard.limits}",
        standard.inputs,
        standard.attributes,
    )


CHANNELS_LAST: Mapping[str, Operator] = {
    name: _of(name) for name in ("BatchNormalization", "Conv", "MaxPool")
}

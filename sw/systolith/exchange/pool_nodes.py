"""Pools."""

from collections.abc import Sequence

from systolith.exchange.building import Building
from systolith.exchange.errors import ExchangeError
from systolith.exchange.model_file import Node
from systolith.exchange.operands import activation_of
from systolith.exchange.plain_layers import followed, pooled
from systolith.exchange.shape_nodes import flatten
from systolith.exchange.values import Activation, Constant, Pending, Value
from systolith.exchange.windows import window_of
from systolith.network import Layer, MaxPool2d

__all__ = [
    "average_pool",
    "global_average_pool",
    "max_pool",
    "reduce_mean",
]


def max_pool(node: Node, values: Sequence[Value], made: Building) -> Value:
    """MaxPool: of quantized values, or before they are quantized, which is the same."""
    kernel = _kernel(node)
    if any(by != 1 for by in node.get("dilations", [1])):
        raise ExchangeError(["is dilated; not supported"])
    x = values[0]
    shape = x.result if isinstance(x, Pending) else activation_of(x).tensor.shape
    if isinstance(x, Activation) and any(x.padding):
        raise ExchangeError(["reads an image padded with zeros; give the pool pads of its own"])
    stride, padding, problems = window_of(node, kernel, shape)
    if problems:
        raise ExchangeError(problems)

    def follow(name: str, source: str) -> Layer:
        return MaxPool2d(
            name=name, input=source, kernel_size=kernel, stride=stride, padding=padding
        )

    return followed(node, x, follow, made)


def average_pool(node: Node, values: Sequence[Value], made: Building) -> Value:
    """AveragePool; zeros of the padding count, or there are none."""
    x, kernel = activation_of(values[0]), _kernel(node)
    stride, padding, problems = window_of(node, kernel, x.tensor.shape, x.padding)
    if any(padding) and not any(x.padding) and not node.get("count_include_pad", 0):
        problems.append(
            "leaves its padding out of the average; only count_include_pad=1 is supported"
        )
    if problems:
        raise ExchangeError(problems)
    return pooled(node, x, kernel, stride, padding)


def global_average_pool(node: Node, values: Sequence[Value], made: Building) -> Value:
    """GlobalAveragePool."""
    x = activation_of(values[0])
    if any(x.padding) or len(x.tensor.shape) != 3:
        raise ExchangeError(["works on vectors, or on a padded image"])
    return pooled(node, x, None, (1, 1), (0, 0, 0, 0))


def reduce_mean(node: Node, values: Sequence[Value], made: Building) -> Value:
    """ReduceMean over height and width."""
    axes = node.get("axes", None)
    if axes is None and len(values) > 1 and isinstance(values[1], Constant):
        axes = values[1].values.reshape(-1).tolist()
    if sorted(axis % 4 for axis in axes or []) != [2, 3]:
        raise ExchangeError([f"averages over axes {axes}; height and width are supported"])
    pooled = global_average_pool(node, values, made)
    return pooled if node.get("keepdims", 1) else flatten(node, [pooled], made)


def _kernel(node: Node) -> tuple[int, int]:
    kernel = [int(size) for size in node.get("kernel_shape", [])]
    if len(kernel) != 2:
        raise ExchangeError([f"is {len(kernel)}-dimensional; two-dimensional ones are supported"])
    return kernel[0], kernel[1]

"""Where the windows of convolutions and pools lie."""

from math import ceil

from systolith.exchange.model_file import Node
from systolith.network import Padding, Shape

__all__ = ["window_of"]


def window_of(
    node: Node,
    kernel: tuple[int, int],
    shape: Shape,
    around: Padding = (0, 0, 0, 0),
) -> tuple[tuple[int, int], Padding, list[str]]:
    """Stride and padding of a node, and what is wrong with them; `around` comes on top."""
    strides = [int(by) for by in node.get("strides", [1, 1])]
    pads = [int(by) for by in node.get("pads", [0, 0, 0, 0])]
    problems = []
    if len(shape) != 3 or len(strides) != 2 or len(pads) != 4:
        return (1, 1), (0, 0, 0, 0), ["works on other data than images (N, C, H, W)"]
    if node.get("ceil_mode", 0):
        problems.append("has ceil_mode; not supported: pad the image instead")
    stride = (strides[0], strides[1])
    match node.get("auto_pad", "NOTSET"):
        case "SAME_UPPER" | "SAME_LOWER" as same:
            pads = _same(shape[1:], kernel, stride, upper=same == "SAME_UPPER")
        case "VALID":
            pads = [0, 0, 0, 0]
    top, left, bottom, right = pads
    padding = (top + around[0], bottom + around[1], left + around[2], right + around[3])
    return stride, padding, problems


def _same(
    size: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int], *, upper: bool
) -> list[int]:
    """Pads that give ``ceil(size / stride)`` windows, the odd one after (upper) or before."""
    before, after = [], []
    for length, taps, by in zip(size, kernel, stride, strict=True):
        total = max((ceil(length / by) - 1) * by + taps - length, 0)
        less, more = total // 2, total - total // 2
        before.append(less if upper else more)
        after.append(more if upper else less)
    return [*before, *after]

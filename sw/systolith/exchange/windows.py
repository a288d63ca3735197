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
    strides = [int(by) for by in node.attributes["strides"] or [1, 1]]
    pads = [int(by) for by in node.attributes["pads"] or [0, 0, 0, 0]]
    if len(shape) != 3 or len(strides) != 2 or len(pads) != 4:
        what = f"reads shape {shape} with strides {strides} and pads {pads}"
        return (1, 1), (0, 0, 0, 0), [f"{what}; images (N, C, H, W) are supported"]
    stride = (strides[0], strides[1])
    if min(strides) < 1 or min(pads) < 0:
        what = f"has strides {strides} and pads {pads}"
        return stride, around, [f"{what}; strides of 1 or more and pads of 0 or more are supported"]
    before = (shape[1] + around[0] + around[1], shape[2] + around[2] + around[3])
    match node.attributes["auto_pad"]:
        case "SAME_UPPER" | "SAME_LOWER" as same:
            pads = _same(before, kernel, stride, upper=same == "SAME_UPPER")
        case "VALID":
            pads = [0, 0, 0, 0]
    top, left, bottom, right = pads
    padding = (top + around[0], bottom + around[1], left + around[2], right + around[3])
    problems = []
    if node.attributes.get("ceil_mode") and (
        (before[0] + top + bottom - kernel[0]) % stride[0]
        or (before[1] + left + right - kernel[1]) % stride[1]
    ):
        problems.append(
            "has ceil_mode, and windows that reach beyond the image; not supported: pad it instead"
        )
    return stride, padding, problems


def _same(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int], *, upper: bool
) -> list[int]:
    """Pads that give ``ceil(size / stride)`` windows, the odd one after (upper) or before."""
    before, after = [], []
    for length, taps, by in zip(size, kernel, stride, strict=True):
        total = max((ceil(length / by) - 1) * by + taps - length, 0)
        less, more = total // 2, total - total // 2
        before.append(less if upper else more)
        after.append(more if upper else less)
    return [*before, *after]

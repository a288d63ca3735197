"""Recognize operations whose windows slide over images: pools, reductions, padding."""

from collections.abc import Iterator
from types import NoneType
from typing import Any

from torch import nn

from systolith.network import Padding, reach_of
from systolith.quant.recognition.operations import (
    AveragePool,
    Enlarge,
    Extend,
    MaxPool,
    Pad,
    Pass,
    Recognized,
)
from systolith.trace import Call

__all__ = [
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "convolution_padding",
    "cut_out",
    "enlarge",
    "max_pool",
    "maximum",
    "mean",
    "padding_problems",
    "pair",
    "total",
    "zero_pad",
]

_NO_PADDING = (0, 0, 0, 0)


def max_pool(call: Call) -> Recognized:
    """Recognize a max pool."""
    arguments = call.arguments
    if arguments.get("return_indices"):
        return None, ["needs return_indices=False, got True"]
    kernel, stride, padding = _window(call)
    dilation = pair(arguments.get("dilation", 1))
    reach = reach_of(kernel, dilation)
    padding = _round_up(call, reach, stride, padding)
    return MaxPool(kernel, stride, padding, dilation), list(_pool_problems(call, reach, padding))


def average_pool(call: Call) -> Recognized:
    """Recognize an average pool."""
    kernel, stride, own = _window(call)
    padding = _round_up(call, kernel, stride, own)
    problems = list(_pool_problems(call, kernel, padding))
    divisor = call.arguments.get("divisor_override")
    if divisor is not None:
        if divisor < 1:
            problems.append(f"needs a divisor_override of at least 1, got {divisor}")
        return AveragePool(kernel, stride, padding, divisor=divisor), problems
    # What ceil_mode adds is never in the area.
    counted = own if call.arguments.get("count_include_pad", True) else _NO_PADDING
    return AveragePool(kernel, stride, padding, counted if counted != padding else None), problems


def adaptive_average_pool(call: Call) -> Recognized:
    """Recognize an adaptive average pool whose windows are all of one size."""
    window = _adaptive_window(call)
    if (factors := _repeats(call)) is not None:
        return Enlarge(factors), []
    if window is None:
        return None, [_uneven(call)]
    if call.output[2:] == (1, 1):
        return AveragePool(None, (1, 1), _NO_PADDING), []
    if window == (1, 1):
        return Pass(), []
    return AveragePool(window, window, _NO_PADDING), []


def adaptive_max_pool(call: Call) -> Recognized:
    """Recognize an adaptive max pool whose windows are all of one size."""
    if call.arguments.get("return_indices"):
        return None, ["needs return_indices=False, got True"]
    window = _adaptive_window(call)
    if (factors := _repeats(call)) is not None:
        return Enlarge(factors), []
    if window is None:
        return None, [_uneven(call)]
    return Pass() if window == (1, 1) else MaxPool(window, window, _NO_PADDING), []


def mean(call: Call) -> Recognized:
    """Recognize a mean over rows, columns or both."""
    window = _reduction_window(call)
    if window is None:
        return None, ["needs axes of images, 2 and 3, and no other dtype; or use AvgPool2d"]
    if window == call.image:
        return AveragePool(None, (1, 1), _NO_PADDING), []
    return AveragePool(window, window, _NO_PADDING), []


def total(call: Call) -> Recognized:
    """Recognize a sum over rows, columns or both."""
    window = _reduction_window(call)
    if window is None:
        return None, ["needs axes of images, 2 and 3, and no other dtype"]
    return AveragePool(window, window, _NO_PADDING, divisor=1), []


def maximum(call: Call) -> Recognized:
    """Recognize a maximum over rows, columns or both."""
    window = _reduction_window(call)
    if window is None:
        return None, ["needs axes of images, 2 and 3; or use MaxPool2d"]
    return MaxPool(window, window, _NO_PADDING), []


def zero_pad(call: Call) -> Recognized:
    """Recognize rows and columns of zeros or of the border that are added, or that are cut off."""
    if not call.are_images:
        return None, [f"needs images (N, C, H, W), got {call.input}"]
    problems = []
    sides = call.arguments["pad"]
    whole = isinstance(sides, tuple | list) and all(isinstance(side, int) for side in sides)
    if not whole or len(sides) not in (2, 4):
        problems.append(f"needs rows and columns to add on 2 or 4 sides, got {sides}")
        sides = _NO_PADDING
    mode, value = call.arguments.get("mode", "constant"), call.arguments.get("value")
    left, right, top, bottom = (*sides, 0, 0)[:4]
    if mode == "replicate":
        return Extend((top, bottom, left, right)), problems
    if mode != "constant" or value:
        problems.append(
            f"needs to pad with zeros or mode 'replicate', got mode '{mode}', value {value}"
        )
    return Pad((top, bottom, left, right)), problems


def enlarge(call: Call) -> Recognized:
    """Recognize nearest neighbours at whole multiples of the size.

    Straight lines between pixels are recorded as an average of these, where whole factors allow.
    """
    if not call.are_images:
        return None, [f"needs images (N, C, H, W), got {call.input}"]
    mode = call.arguments.get("mode", "nearest")
    if mode not in ("nearest", "nearest-exact"):
        other = "or a trained nn.ConvTranspose2d(C, C, 4, 2, 1, groups=C)"
        if mode in ("linear", "bilinear"):
            aligned = bool(call.arguments.get("align_corners"))
            wanted = f"mode '{mode}' with align_corners=False and whole factors, {other}"
            got = f"align_corners={aligned}, {call.image} to {call.output[2:]}"
            return None, [f"needs {wanted}; got {got}"]
        return None, [f"needs mode 'nearest' or 'bilinear', {other}; got '{mode}'"]
    (height, width), (rows, columns) = call.image, call.output[2:]
    if rows % height or columns % width:
        sizes = f"{height}x{width} to {rows}x{columns}"
        return None, [f"needs a whole multiple of the size, got {sizes}"]
    factors = rows // height, columns // width
    return Pass() if factors == (1, 1) else Enlarge(factors), []


def cut_out(call: Call) -> Recognized | None:
    """Recognize slices of rows and columns, with steps if nothing is left out at the ends.

    None if the index is another one, or the whole image.
    """
    index = call.arguments["index"]
    parts = index if isinstance(index, tuple) else (index,)
    if Ellipsis in parts and len(call.input) == 4:
        place = parts.index(Ellipsis)
        whole = (slice(None),) * (4 - len(parts) + 1)
        parts = (*parts[:place], *whole, *parts[place + 1 :])
    if not call.are_images or not all(type(part) is slice for part in parts):
        return None
    parts = (*parts, *(slice(None),) * (4 - len(parts)))
    numbers = [end for part in parts for end in (part.start, part.stop, part.step)]
    if any(type(end) not in (int, NoneType) for end in numbers):
        return None
    if any(part not in (slice(None), slice(0, None)) for part in parts[:2]):
        return None
    ranges = [range(size)[part] for size, part in zip(call.image, parts[2:], strict=True)]
    steps = ranges[0].step, ranges[1].step
    if all(len(part) == size for size, part in zip(call.image, ranges, strict=True)):
        return None
    if steps == (1, 1):
        (top, left), (bottom, right) = (
            tuple(-part.start for part in ranges),
            tuple(part.stop - size for size, part in zip(call.image, ranges, strict=True)),
        )
        return Pad((top, bottom, left, right)), []
    ends = zip(call.image, ranges, strict=True)
    if any(part.start or part[-1] + part.step < size for size, part in ends):
        return None
    return MaxPool((1, 1), steps, _NO_PADDING), []


def convolution_padding(module: nn.Conv2d) -> Padding:
    """Rows and columns that a convolution adds."""
    match module.padding:
        case "valid":
            return _NO_PADDING
        case "same":
            # As PyTorch: the odd row or column goes to the bottom and to the right.
            rows, columns = (
                (size - 1) * by
                for size, by in zip(module.kernel_size, module.dilation, strict=True)
            )
            return rows // 2, rows - rows // 2, columns // 2, columns - columns // 2
        case _:
            return _symmetric(module.padding)


def padding_problems(padding: Padding, kernel: tuple[int, int]) -> Iterator[str]:
    """Find padding that hides a whole window; `kernel` is the dilated one."""
    top, bottom, left, right = padding
    if max(top, bottom) >= kernel[0] or max(left, right) >= kernel[1]:
        yield f"needs padding smaller than the kernel {kernel}, got {(top, left)}"


def pair(value: Any) -> tuple[int, int]:
    """Two numbers of one, of a list of one, or of two."""
    values = tuple(value) if isinstance(value, tuple | list) else (value,)
    return int(values[0]), int(values[-1])


def _symmetric(padding: Any) -> Padding:
    vertical, horizontal = pair(padding)
    return vertical, vertical, horizontal, horizontal


def _window(call: Call) -> tuple[tuple[int, int], tuple[int, int], Padding]:
    """Kernel, stride and padding of a pool."""
    kernel = pair(call.arguments["kernel_size"])
    stride = pair(call.arguments.get("stride") or kernel)
    return kernel, stride, _symmetric(call.arguments.get("padding", 0))


def _round_up(
    call: Call, kernel: tuple[int, int], stride: tuple[int, int], padding: Padding
) -> Padding:
    """Add the rows and columns that windows added by ``ceil_mode`` need; `kernel` is dilated."""
    if not (call.are_images and call.arguments.get("ceil_mode")):
        return padding
    top, bottom, left, right = padding
    sizes = zip(call.output[2:], stride, kernel, call.image, (top, left), strict=True)
    rows, columns = (
        (windows - 1) * step + taps - size - before for windows, step, taps, size, before in sizes
    )
    return top, max(bottom, rows), left, max(right, columns)


def _pool_problems(call: Call, kernel: tuple[int, int], padding: Padding) -> Iterator[str]:
    """Find what a pool needs; `kernel` is the dilated one."""
    if not call.are_images:
        yield f"needs images (N, C, H, W), got {call.input}"
    yield from padding_problems(padding, kernel)


def _uneven(call: Call) -> str:
    """Reason to refuse an adaptive pool whose windows have several sizes."""
    if not call.are_images:
        return f"needs images (N, C, H, W), got {call.input}"
    size = call.arguments["output_size"]
    return f"needs an output_size that divides {call.image}, so that windows are equal, got {size}"


def _adaptive_window(call: Call) -> tuple[int, int] | None:
    """Window of an adaptive pool; None if windows differ."""
    if not call.are_images:
        return None
    (rows, columns), (height, width) = call.image, call.output[2:]
    if rows % height or columns % width:
        return None
    return rows // height, columns // width


def _repeats(call: Call) -> tuple[int, int] | None:
    """Factors of an adaptive pool that only repeats pixels; None if there is none."""
    if not call.are_images or call.keeps_shape:
        return None
    (rows, columns), (height, width) = call.image, call.output[2:]
    if height % rows or width % columns:
        return None
    return height // rows, width // columns


def _reduction_window(call: Call) -> tuple[int, int] | None:
    """Window of a reduction over whole rows, columns, or both."""
    axes = call.arguments.get("dim")
    axes = axes if isinstance(axes, tuple | list) else (axes,)
    if len(call.input) != 4 or call.arguments.get("dtype") is not None:
        return None
    if not all(isinstance(axis, int) and axis % 4 in (2, 3) for axis in axes):
        return None
    reduced = {axis % 4 for axis in axes}
    height, width = call.image
    return height if 2 in reduced else 1, width if 3 in reduced else 1

"""Sequences (N, C, L), read as images of one row: (N, C, 1, L)."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from systolith.network import Shape
from systolith.trace import Call

__all__ = [
    "SEQUENCE_AXES",
    "image_batch",
    "image_call",
    "image_convolution",
    "image_mask",
    "image_shape",
]

_ACROSS = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
"""Window of a sequence along the row axis."""
SEQUENCE_AXES = 3
"""N, C, L."""


def image_shape(shape: Shape) -> Shape:
    """Insert the row axis into the shape (C, L) of one sequence; others stay as they are."""
    return (shape[0], 1, shape[1]) if len(shape) == SEQUENCE_AXES - 1 else shape


def image_batch(values: Tensor) -> Tensor:
    """Insert the row axis into sequences (N, C, L), or into their weights (F, C, K)."""
    return values.unsqueeze(2) if values.ndim == SEQUENCE_AXES else values


def image_mask(mask: Tensor, weight: Tensor) -> Tensor:
    """Insert the axes that a layer's weight has, and a mask of the model's weight has not.

    These are the row axis of sequences, and both of a linear layer that reads one pixel.
    """
    if mask.ndim == SEQUENCE_AXES - 1 and weight.shape[2:] == (1, 1):
        return mask[:, :, None, None]
    return image_batch(mask)


def image_call(call: Call) -> Call:
    """Read a call on sequences as the call on images of one row that computes the same."""
    inputs = tuple(shape[:1] + image_shape(shape[1:]) for shape in call.inputs)
    output = call.output[:1] + image_shape(call.output[1:])
    if not call.inputs or len(call.input) != SEQUENCE_AXES:
        return replace(call, inputs=inputs, output=output)
    arguments = {name: _argument(call, name, value) for name, value in call.arguments.items()}
    module = call.module
    if isinstance(module, nn.Conv1d):
        module = image_convolution(module)
    elif isinstance(module, nn.ConvTranspose1d):
        module = _image_transposed(module)
    return replace(call, module=module, arguments=arguments, inputs=inputs, output=output)


def image_convolution(conv: nn.Conv1d) -> nn.Conv2d:
    """Convert a convolution of sequences to one of images of one row, with the same weights."""
    padding = conv.padding if isinstance(conv.padding, str) else (0, *conv.padding)
    image = nn.Conv2d(
        conv.in_channels,
        conv.out_channels,
        (1, conv.kernel_size[0]),
        stride=(1, conv.stride[0]),
        padding=padding,  # type: ignore[arg-type]  # a pair, or a string that Conv1d has checked
        dilation=(1, conv.dilation[0]),
        groups=conv.groups,
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
        device="meta",
    )
    _share_parameters(image, conv)
    return image


def _image_transposed(conv: nn.ConvTranspose1d) -> nn.ConvTranspose2d:
    """Convert a transposed convolution of sequences to one of images, with the same weights."""
    image = nn.ConvTranspose2d(
        conv.in_channels,
        conv.out_channels,
        (1, conv.kernel_size[0]),
        stride=(1, conv.stride[0]),
        padding=(0, conv.padding[0]),  # type: ignore[arg-type]  # it has no padding by name
        output_padding=(0, conv.output_padding[0]),
        groups=conv.groups,
        bias=conv.bias is not None,
        dilation=(1, conv.dilation[0]),
        device="meta",
    )
    _share_parameters(image, conv)
    return image


def _share_parameters(image: nn.Conv2d | nn.ConvTranspose2d, conv: nn.Module) -> None:
    """Give a convolution of images the weights and the bias of one of sequences."""
    weight = conv.get_parameter("weight")
    data = weight.detach().unsqueeze(2)
    image.weight = nn.Parameter(data, requires_grad=weight.requires_grad)
    if image.bias is not None:
        bias = conv.get_parameter("bias")
        image.bias = nn.Parameter(bias.detach(), requires_grad=bias.requires_grad)


def _argument(call: Call, name: str, value: Any) -> Any:
    """Convert one argument of a call on sequences."""
    if isinstance(value, Tensor) and value.ndim > 1 and call.operator != "index_select":
        return value.unsqueeze(-2)
    if "pool" in call.operator and name in _ACROSS and value is not None:
        along = value[0] if isinstance(value, tuple | list) and value else value
        return value if value in ((), []) else (_ACROSS[name], along)
    convert = _CONVERTED.get((call.operator, name))
    return value if convert is None else convert(value)


def _axes(given: Any) -> Any:
    if isinstance(given, tuple | list):
        return tuple(map(_axes, given))
    if not isinstance(given, int) or not -SEQUENCE_AXES <= given < SEQUENCE_AXES:
        return given
    return 3 if given % SEQUENCE_AXES == 2 else given % SEQUENCE_AXES


def _index(given: Any) -> Any:
    """Insert the whole row axis into an index of slices."""
    parts = given if isinstance(given, tuple) else (given,)
    if not all(part is Ellipsis or type(part) is slice for part in parts):
        return given
    if Ellipsis in parts:
        place = parts.index(Ellipsis)
        whole = (slice(None),) * (SEQUENCE_AXES - len(parts) + 1)
        parts = (*parts[:place], *whole, *parts[place + 1 :])
    parts = (*parts, *(slice(None),) * (SEQUENCE_AXES - len(parts)))
    return (*parts[:2], slice(None), *parts[2:])


def _sides(given: Any) -> Any:
    """Insert a row axis without padding between length and channels."""
    if isinstance(given, tuple | list) and len(given) > 2:
        return (*given[:2], 0, 0, *given[2:])
    return given


_CONVERTED: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("mean", "dim"): _axes,
    ("amax", "dim"): _axes,
    ("softmax", "dim"): _axes,
    ("cat", "dim"): _axes,
    ("getitem", "index"): _index,
    ("pad", "pad"): _sides,
}

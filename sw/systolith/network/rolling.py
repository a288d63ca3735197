"""Networks over time: windows that overlap are computed once, as one tall image."""

from dataclasses import dataclass, replace

from systolith.network.errors import NetworkError
from systolith.network.graph import INPUT, IntegerNetwork, rename_inputs
from systolith.network.layers import (
    Add,
    ArgMax,
    AvgPool2d,
    Concat,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
    Multiply,
    Pad2d,
    SelectChannels,
    Table,
)
from systolith.network.tensor import Shape, Tensor

__all__ = ["RolledNetwork", "roll_network"]

PLAIN = (Add, Multiply, Concat, SelectChannels, Table, ArgMax)
"""Layers that treat each row alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolledNetwork:
    """A network that computes all windows of a tall image.

    Attributes
    ----------
    network : IntegerNetwork
        Row k of its outputs is the result of the window that begins at row ``k * hop``. Behind the
        last whole window one more may fit, if strides leave its last rows unread.
    window : int
        Rows of one window.
    hop : int
        Rows between two windows.
    """

    network: IntegerNetwork
    window: int
    hop: int


def roll_network(network: IntegerNetwork, rows: int) -> RolledNetwork:
    """Make a network of windows over time compute every window of `rows` rows, each row once.

    Time is the height of the image. A layer without padding at top and bottom computes a row from
    the same rows in every window that has them, so the results are equal to those of the windows,
    bit for bit. Linear layers behind a flattened image become convolutions.

    Parameters
    ----------
    network : IntegerNetwork
        Computes one window, (C, window, W).
    rows : int
        Rows of the tall image, at least the window.

    Raises
    ------
    NetworkError
        With every layer whose result depends on where the window begins.

    Examples
    --------
    A network of 30 rows of 40 values gives 71 results of 100 rows with ``roll_network(net, 100)``.
    """
    if len(network.input.shape) != 3:
        raise NetworkError(["rolling needs images (C, H, W), whose rows are time; got a vector"])
    channels, window, width = network.input.shape
    problems = []
    if rows < window:
        problems.append(f"rows must be at least the window, {window}, got {rows}")
    hops, sources = {INPUT: 1}, {INPUT: INPUT}
    layers: list[Layer] = []
    for layer in network.layers:
        shapes = [network.tensors[name].shape for name in layer.inputs]
        found = {hops[name] for name in layer.inputs}
        hops[layer.name], sources[layer.name] = max(found), layer.name
        if len(found) > 1:
            problems.append(f"layer '{layer.name}': reads rows of different strides")
        elif isinstance(layer, Flatten):
            sources[layer.name] = sources[layer.input]
            continue
        elif reason := _depends_on_place(layer):
            problems.append(f"layer '{layer.name}': {reason}")
        else:
            image = _image_before(network, layer.inputs[0])
            rolled = _roll(layer, shapes[0], image)
            hops[layer.name] *= rolled.stride[0] if hasattr(rolled, "stride") else 1
            layers.append(rename_inputs(rolled, lambda name: sources[name]))
    if problems:
        raise NetworkError(problems)
    (hop,) = {hops[name] for name in network.outputs}
    tall = IntegerNetwork(
        name=f"{network.name}_rolling",
        input=Tensor((channels, rows, width), network.input.type),
        layers=tuple(layers),
        outputs=tuple(dict.fromkeys(sources[name] for name in network.outputs)),
    )
    return RolledNetwork(network=tall, window=window, hop=hop)


def _depends_on_place(layer: Layer) -> str:
    """Say why a layer's rows depend on where the window begins; empty if they do not."""
    match layer:
        case Conv2d() | MaxPool2d() | AvgPool2d():
            if any(layer.padding[:2]):
                return "pads rows at the ends of the window; train it without padding over time"
        case Pad2d():
            if any(size > 0 for size in layer.padding[:2]):
                return "pads rows at the ends of the window; train it without padding over time"
        case Linear():
            pass
        case _ if not isinstance(layer, PLAIN):
            return f"{type(layer).__name__} changes rows: not supported when rolling"
    return ""


def _roll(layer: Layer, shape: Shape, image: Shape) -> Layer:
    """Give the layer of tall images: global pools and linear layers become windows."""
    if isinstance(layer, AvgPool2d) and layer.kernel_size is None:
        return replace(layer, kernel_size=(shape[1], shape[2]))
    if not isinstance(layer, Linear):
        return layer
    channels, height, width = image
    return Conv2d(
        name=layer.name,
        input=layer.input,
        weight=layer.weight.reshape(len(layer.weight), channels, height, width),
        bias=layer.bias,
        requantize=layer.requantize,
        output=layer.output,
        stride=(1, 1),
        padding=(0, 0, 0, 0),
    )


def _image_before(network: IntegerNetwork, name: str) -> Shape:
    """Give the shape of the image that a tensor is, or was before it was flattened."""
    shape = network.tensors[name].shape
    while name != INPUT and isinstance(layer := network[name], Flatten):
        name = layer.input
        shape = network.tensors[name].shape
    return shape if len(shape) == 3 else (shape[0], 1, 1)

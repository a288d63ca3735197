"""What a layer asks of its engine, and why some layers have none."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil
from types import MappingProxyType

import numpy as np

from systolith.network import (
    INPUT,
    Add,
    AllTaps,
    ArgMax,
    AvgPool2d,
    Concat,
    Conv2d,
    Flatten,
    IntegerNetwork,
    KOutOfN,
    Layer,
    Linear,
    MaxPool2d,
    Multiply,
    Pad2d,
    PerNeuron,
    SelectChannels,
    Table,
    Tensor,
    Upsample,
)
from systolith.plan.sizes.array_shape import ArrayShape, Feed, SingleBits
from systolith.plan.sizes.reduction import Reduction
from systolith.plan.sizes.requantizer_plan import RequantizerPlan
from systolith.plan.sizes.single_bits import carries_signs
from systolith.plan.sizes.sums import (
    any_sum_bits,
    count_bits,
    fold_bias,
    partial_sum_bits,
)
from systolith.plan.sizes.window import Window

__all__ = [
    "Workload",
    "engine_problems",
    "image_of",
    "output_ports",
    "source_of",
    "unsupported_layers",
    "window_of",
    "workload_of",
]

_ON_IMAGES = MappingProxyType(
    {
        Add: ("adds", "adding"),
        Multiply: ("multiplies", "multiplying"),
        Upsample: ("repeats features of", "repeating"),
        Concat: ("joins", "joining"),
        SelectChannels: ("selects features of", "selecting"),
        Table: ("looks up values of", "the table"),
        ArgMax: ("finds the greatest of", "finding it"),
    }
)
PACKED_WEIGHT_BITS, PACKED_ACT_BITS = 4, 8
"""Largest widths at which two products fit one multiplier of 18 x 18 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A convolution or linear layer as a reduction over the windows of an image.

    Attributes
    ----------
    name : str
        The layer.
    window : Window
        How the kernel slides; the whole image for a linear layer.
    image, output : Tensor
        Input, as an image (C, H, W) before any flattening, and result.
    feed : Feed
        How activations must reach the PEs.
    multiplicity : int
        Filters per channel of a depthwise layer; 0 for others.
    slots, group : int
        k and n of the pattern; both 1 for dense.
    reads : Reduction
        What one output sums over: one channel if the layer is depthwise, the k weights of a filter
        if they are gathered.
    weight_bits, acc_bits : int
        Widths of weights and of partial sums.
    requantizer : RequantizerPlan
        What scales the sums.
    packed : int
        Most filters that can share a multiplier.
    single_bits : SingleBits, optional
        What the bits of activations stand for if PEs count equal bits instead of multiplying.
    """

    name: str
    window: Window
    image: Tensor
    output: Tensor
    feed: Feed = Feed.ROWS
    multiplicity: int = 0
    slots: int
    group: int
    reads: Reduction
    weight_bits: int
    acc_bits: int
    requantizer: RequantizerPlan
    packed: int = 1
    single_bits: SingleBits | None = None

    @property
    def filters(self) -> int:
        """Output channels."""
        return self.output.shape[0]

    @property
    def channels(self) -> int:
        """Input channels."""
        return self.image.shape[0]

    @property
    def reduction(self) -> int:
        """Parts that one output sums over: channel groups at kept taps."""
        return self.reads.length

    @property
    def multipliers(self) -> list[int]:
        """Numbers of multipliers that a PE may have, ascending.

        A PE that counts bits has a divisor of all channels if the layer is dense, else of the k
        slots.
        """
        if self.single_bits is None:
            return list(range(1, self.slots + 1))
        most = self.channels if self._groups_freely else self.slots
        return [number for number in range(1, most + 1) if most % number == 0]

    @property
    def _groups_freely(self) -> bool:
        """Whether a PE can take any number of neighbouring channels at once."""
        dense = self.group == 1 and self.feed is Feed.ROWS and self.reads.reads is None
        return self.single_bits is not None and dense

    def on(self, array: ArrayShape) -> "Workload":
        """Group the channels of a dense layer as the PEs of an array take them."""
        if not self._groups_freely or array.multipliers == 1:
            return self
        groups = self.channels // array.multipliers
        return replace(
            self,
            slots=array.multipliers,
            group=array.multipliers,
            reads=replace(self.reads, groups=groups),
        )

    def transfers(self, array: ArrayShape) -> int:
        """Fewest input transfers of a pixel: at most one group for each of the rows' memories."""
        match self.feed:
            case Feed.ROWS:
                return self.reads.groups // self.reads.banks(array.rows)
            case Feed.DEPTHWISE:
                return ceil(self.channels * self.multiplicity / array.columns)
            case Feed.GATHERED:
                return 1


def workload_of(
    network: IntegerNetwork, layer: Conv2d | Linear, *, reloadable: bool = False
) -> Workload:
    """Describe a layer as a workload of a PE array.

    Sums are as wide as the layer's own weights need; if `reloadable`, as wide as any weights of the
    same pattern need.
    """
    wide = any_sum_bits if reloadable else partial_sum_bits
    image = image_of(network, layer)
    slots, group = _slots_and_group(layer, image)
    depthwise = _is_depthwise(layer)
    single_bits = _single_bits(network, layer, reloadable)
    acc_bits = count_bits(layer, single_bits) if single_bits else wide(layer, image)
    return Workload(
        name=layer.name,
        window=window_of(network, layer),
        image=image,
        output=network.tensors[layer.name],
        slots=slots,
        group=group,
        reads=_reads(layer, image, group),
        multiplicity=len(layer.weight) // image.shape[0] if depthwise else 0,
        feed=_feed(layer, image),
        packed=1 if single_bits else _filters_per_multiplier(layer, image),
        requantizer=RequantizerPlan.of(
            layer.requantize,
            network.tensors[layer.name].type,
            sum_bits=acc_bits,
            biases=fold_bias(layer, image.type, single_bits),
            reloadable=reloadable,
        ),
        weight_bits=1 if single_bits else max(layer.weight_bits, 2),
        acc_bits=acc_bits,
        single_bits=single_bits,
    )


def _single_bits(
    network: IntegerNetwork, layer: Conv2d | Linear, reloadable: bool
) -> SingleBits | None:
    """Decide whether PEs count equal bits; loaded parameters may break the rule of signs."""
    image = image_of(network, layer)
    if layer.weight_bits != 1 or _feed(layer, image) is Feed.GATHERED:
        return None
    if image.type.bits == 1:
        return SingleBits.NUMBERS
    return SingleBits.SIGNS if not reloadable and carries_signs(network, layer.input) else None


def image_of(network: IntegerNetwork, layer: Layer, port: int = 0) -> Tensor:
    """Input of the engine of `layer`, as an image (C, H, W) before any flattening."""
    tensor = network.tensors[source_of(network, layer.inputs[port])]
    shape = tensor.shape if len(tensor.shape) == 3 else (*tensor.shape, 1, 1)
    return Tensor(shape, tensor.type)


def source_of(network: IntegerNetwork, name: str) -> str:
    """Find the layer whose stream carries a tensor; flattening changes no stream."""
    while name != INPUT and isinstance(layer := network[name], Flatten):
        name = layer.input
    return name


def window_of(network: IntegerNetwork, layer: Layer) -> Window:
    """Describe how the window of `layer` slides over its input."""
    _, height, width = shape = image_of(network, layer).shape
    match layer:
        case Conv2d() | MaxPool2d():
            return Window(
                height=height,
                width=width,
                kernel=layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
            )
        case AvgPool2d():
            return Window(
                height=height,
                width=width,
                kernel=layer.window(shape),
                stride=layer.stride,
                padding=layer.padding,
            )
        case Pad2d():
            return Window(
                height=height,
                width=width,
                kernel=(1, 1),
                padding=layer.padding,
                edge=layer.edge,
            )
        case Upsample():
            return Window(height=height, width=width, kernel=(1, 1), repeats=layer.factors)
        case _:
            return Window(height=height, width=width, kernel=(height, width))


def output_ports(network: IntegerNetwork) -> tuple[str, ...]:
    """Name the port of each output: ``o`` if there is one, else ``o_0``, ``o_1``, ..."""
    count = len(network.outputs)
    return ("o",) if count == 1 else tuple(f"o_{number}" for number in range(count))


def unsupported_layers(network: IntegerNetwork) -> Iterator[str]:
    """Name every layer that no engine computes, and why."""
    for layer in network.layers:
        yield from engine_problems(network, layer)
    if all(isinstance(layer, Flatten) for layer in network.layers):
        yield "a network for engines needs a layer besides flattenings"


def engine_problems(network: IntegerNetwork, layer: Layer) -> Iterator[str]:
    """Say why no engine computes this layer; yield nothing if one does."""
    if isinstance(layer, tuple(_ON_IMAGES)) and any(
        network.tensors[name].shape != image_of(network, layer, port).shape[:1]
        for port, name in enumerate(layer.inputs)
        if len(network.tensors[name].shape) == 1
    ):
        done, doing = _ON_IMAGES[type(layer)]
        yield f"layer '{layer.name}': no engine {done} flattened images; flatten after {doing}"
    if isinstance(layer, Conv2d | Linear):
        yield from _unsupported_pattern(layer)


def _unsupported_pattern(layer: Conv2d | Linear) -> Iterator[str]:
    select = layer.pattern.select
    if isinstance(select, PerNeuron) and _is_depthwise(layer):
        yield f"layer '{layer.name}': no engine computes {select} of a depthwise convolution"


def _feed(layer: Conv2d | Linear, image: Tensor) -> Feed:
    """Choose how activations reach the PEs.

    Weights are gathered if no row can bring its activations to all filters: if filters keep weights
    anywhere, or select among neighbouring features of a flattened image. These features are pixels
    of one channel, not channels of one pixel.
    """
    select = layer.pattern.select
    selects = isinstance(select, KOutOfN) and layer.mask is not None
    if isinstance(select, PerNeuron) or (selects and _is_flattened(layer, image)):
        return Feed.GATHERED
    return Feed.DEPTHWISE if _is_depthwise(layer) else Feed.ROWS


def _is_depthwise(layer: Conv2d | Linear) -> bool:
    return isinstance(layer, Conv2d) and layer.groups != 1


def _is_flattened(layer: Conv2d | Linear, image: Tensor) -> bool:
    return isinstance(layer, Linear) and image.shape[1:] != (1, 1)


def _filters_per_multiplier(layer: Conv2d | Linear, image: Tensor) -> int:
    """Number of filters whose weights fit one multiplier and always meet the same activation.

    They do if the filters share their selection, or if nothing is selected.
    """
    select = layer.pattern.select
    narrow = layer.weight_bits <= PACKED_WEIGHT_BITS and image.type.bits <= PACKED_ACT_BITS
    shared = _feed(layer, image) is Feed.ROWS and (
        not isinstance(select, KOutOfN) or select.k == select.n or select.shared_by % 2 == 0
    )
    return 2 if narrow and shared and len(layer.weight) > 1 else 1


def _reads(layer: Conv2d | Linear, image: Tensor, group: int) -> Reduction:
    """Groups and their taps; a depthwise layer has one group: the channel itself."""
    select = layer.pattern.select
    if isinstance(select, PerNeuron):
        return Reduction(taps=1, groups=select.k)
    if _feed(layer, image) is Feed.GATHERED and isinstance(select, KOutOfN):
        return Reduction(taps=1, groups=layer.weight.shape[1] * select.k // select.n)
    if isinstance(layer, Linear):
        taps, channels = image.shape[1] * image.shape[2], image.shape[0]
    else:
        taps, channels = layer.kernel_size[0] * layer.kernel_size[1], layer.weight.shape[1]
    if isinstance(layer, Linear) or isinstance(layer.pattern.taps, AllTaps):
        return Reduction(taps=taps, groups=channels // group)
    # All channels of a group keep the same taps.
    kept = layer.pattern.tap_mask(layer.weight.shape).reshape(channels, taps)[::group]
    reads = tuple(tuple(np.flatnonzero(taps_of_group).tolist()) for taps_of_group in kept)
    return Reduction(taps=taps, groups=channels // group, reads=reads)


def _slots_and_group(layer: Conv2d | Linear, image: Tensor) -> tuple[int, int]:
    select = layer.pattern.select
    if isinstance(select, KOutOfN) and not _is_flattened(layer, image):
        return select.k, select.n
    return 1, 1

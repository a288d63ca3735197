"""The stages that a layer without arithmetic could have."""

from collections.abc import Iterator, Sequence
from math import gcd

from systolith.network import (
    Concat,
    DepthToSpace,
    IntegerNetwork,
    Moving,
    SelectChannels,
    SpaceToDepth,
)
from systolith.plan.engines.layer_engines import divisors, power_of_two
from systolith.plan.moving.block_plan import BlockPlan, SplitWindow
from systolith.plan.moving.concat_plan import ConcatPlan
from systolith.plan.moving.select_plan import SelectPlan, least_block
from systolith.plan.sizes.latency import REFILL_LATENCY
from systolith.plan.sizes.memory import MemoryKind
from systolith.plan.sizes.window import Window
from systolith.plan.sizes.workload import image_of

__all__ = ["plan_moving"]


def plan_moving(
    network: IntegerNetwork, layer: Moving, windows: Sequence[MemoryKind]
) -> Iterator[ConcatPlan | SelectPlan | BlockPlan]:
    """List the stages of a layer that only moves values, for each number of lanes.

    Parameters
    ----------
    network : IntegerNetwork
    layer : Concat, SelectChannels, DepthToSpace or SpaceToDepth
    windows : sequence of MemoryKind
        Memories that line buffers may have.
    """
    match layer:
        case Concat():
            yield from _plan_concat(network, layer)
        case SelectChannels():
            yield from _plan_selection(network, layer)
        case DepthToSpace() | SpaceToDepth():
            yield from _plan_blocks(network, layer, windows)


def _plan_concat(network: IntegerNetwork, layer: Concat) -> Iterator[ConcatPlan]:
    inputs, output = tuple(network.inputs_of(layer)), network.tensors[layer.name]
    for lanes in divisors(gcd(*(tensor.shape[0] for tensor in inputs))):
        yield ConcatPlan(name=layer.name, inputs=inputs, output=output, lanes=lanes)


def _plan_selection(network: IntegerNetwork, layer: SelectChannels) -> Iterator[SelectPlan]:
    (given,), output = network.inputs_of(layer), network.tensors[layer.name]
    total = given.shape[0]
    for lanes_in in divisors(total):
        for lanes_out in divisors(len(layer.channels)):
            yield SelectPlan(
                name=layer.name,
                input=given,
                output=output,
                channels=layer.channels,
                lanes_in=lanes_in,
                lanes_out=lanes_out,
                block=least_block(layer.channels, total, lanes_in, lanes_out),
            )


def _plan_blocks(
    network: IntegerNetwork, layer: DepthToSpace | SpaceToDepth, windows: Sequence[MemoryKind]
) -> Iterator[BlockPlan]:
    image, output = image_of(network, layer), network.tensors[layer.name]
    rows, columns = layer.sides
    channels, height, width = image.shape
    window: Window
    if isinstance(layer, DepthToSpace):
        window = SplitWindow(height=height, width=width, kernel=(1, 1), rows=rows)
    else:
        window = Window(height=height, width=width, kernel=layer.sides, stride=layer.sides)
    pace = max(window.output_pixels, window.input_pixels)
    for lanes in divisors(min(channels, output.shape[0])):
        words = channels // lanes
        pixels = window.pixels_to_hold(latency=REFILL_LATENCY, cycles=pace * words)
        for memory in windows:
            yield BlockPlan(
                name=layer.name,
                window=window,
                input=image,
                output=output,
                buffer_depth=power_of_two(pixels * words),
                lanes=lanes,
                rows=rows,
                columns=columns,
                window_memory=memory,
            )

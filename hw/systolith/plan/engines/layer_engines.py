"""The engine of a layer, given its array shape or its lanes."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import ceil

from systolith.network import (
    ADDED_MULTIPLIER_BITS,
    MAX_MULTIPLIER_BITS,
    Add,
    ArgMax,
    AvgPool2d,
    IntegerNetwork,
    MaxPool2d,
    Multiply,
    Pad2d,
    Table,
    Upsample,
    signed_bits,
)
from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.arg_max_plan import ArgMaxPlan
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.multiply_plan import MultiplyPlan
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.engines.table_plan import TablePlan
from systolith.plan.sizes.array_shape import ArrayShape, Feed, MultiplierKind
from systolith.plan.sizes.latency import REFILL_LATENCY
from systolith.plan.sizes.requantizer_plan import RequantizerPlan
from systolith.plan.sizes.requantizer_widths import zeros_at_end
from systolith.plan.sizes.workload import Workload, image_of, window_of
from systolith.plan.streams.stage_graph import EnginePlan

__all__ = [
    "divisors",
    "narrow_input",
    "plan_add",
    "plan_arg_max",
    "plan_conv",
    "plan_multiply",
    "plan_pool",
    "plan_table",
    "power_of_two",
]


def plan_conv(work: Workload, array: ArrayShape, *, lanes: int | None = None) -> ConvPlan:
    """Plan one PE array, with its input stream at its widest.

    Parameters
    ----------
    work : Workload
    array : ArrayShape
    lanes : int, optional
        Channels in one word of the window if weights are gathered; a divisor of all channels.
    """
    work = work.on(array)
    pass_cycles = work.reads.folds(array.rows) * ceil(work.slots / array.multipliers)
    width, banks = array.width, 1
    match work.feed:
        case Feed.ROWS:
            banks, group = work.reads.banks(array.rows), work.group
            words = work.reads.groups // banks
        case Feed.DEPTHWISE:
            group, words = array.columns // work.multiplicity, work.transfers(array)
        case Feed.GATHERED:
            group = lanes or work.channels
            words = work.channels // group
    window = work.window
    pixels = window.pixels_to_hold(
        latency=REFILL_LATENCY + array.rows,
        cycles=window.output_pixels * pass_cycles * ceil(work.filters / width),
    )
    return ConvPlan(
        name=work.name,
        window=window,
        input=work.image,
        output=work.output,
        feed=work.feed,
        multiplicity=work.multiplicity,
        slots=work.slots,
        group=group,
        reads=work.reads,
        array=array,
        groups_per_transfer=banks,
        lanes_out=least_divisor(width, lambda lanes: width // lanes <= pass_cycles),
        weight_bits=work.weight_bits,
        acc_bits=work.acc_bits,
        buffer_depth=power_of_two(pixels * words),
        requantizer=work.requantizer,
        single_bits=work.single_bits,
        multiplier_kind=MultiplierKind.DSP if work.single_bits is None else MultiplierKind.LUT,
    )


def plan_pool(
    network: IntegerNetwork,
    layer: MaxPool2d | AvgPool2d | Pad2d | Upsample,
    lanes: int,
    *,
    reloadable: bool = False,
) -> PoolPlan:
    """Plan a pool that processes `lanes` channels at a time.

    Padding and upsampling are maxima over windows of one pixel.
    """
    window, output = window_of(network, layer), network.tensors[layer.name]
    image, words = image_of(network, layer), output.shape[0] // lanes
    pixels = window.pixels_to_hold(
        latency=REFILL_LATENCY, cycles=max(window.output_pixels, window.input_pixels) * words
    )
    made = PoolPlan(
        name=layer.name,
        window=window,
        input=image,
        output=output,
        buffer_depth=power_of_two(pixels * words),
        lanes=lanes,
        fill=layer.fill(image.type) if isinstance(layer, Pad2d) else image.type.low,
    )
    if not isinstance(layer, AvgPool2d):
        return made
    made = replace(made, fill=image.type.zero_point)
    if layer.counted is not None:
        rows, columns = layer.factors(image.shape)
        made = replace(made, row_factors=rows, column_factors=columns)
    requantizer = RequantizerPlan.of(
        layer.requantize, output.type, sum_bits=made.sum_bits, reloadable=reloadable
    )
    return replace(made, requantizer=requantizer)


def plan_add(
    network: IntegerNetwork, layer: Add, lanes: int, *, reloadable: bool = False
) -> AddPlan:
    """Plan an addition that processes `lanes` channels at a time."""
    first, second = network.inputs_of(layer)
    rounds = layer.shifts is not None
    widest = MAX_MULTIPLIER_BITS if rounds else ADDED_MULTIPLIER_BITS
    # Sums of a reloadable design hold any products.
    most = replace(layer, multipliers=((1 << widest) - 1,) * 2) if reloadable else layer
    low, high = most.accumulator_range((first, second))
    output, sum_bits = network.tensors[layer.name], signed_bits(min(low, 0), max(high, 0))
    # Zeros at the end of a constant take no multiplier in front of a shift.
    zeros = [zeros_at_end(factor) if rounds else 0 for factor in layer.multipliers]
    first_factor, second_factor = (
        widest if reloadable else (factor >> end).bit_length()
        for factor, end in zip(layer.multipliers, zeros, strict=True)
    )
    return AddPlan(
        name=layer.name,
        inputs=(first, second),
        output=output,
        lanes=lanes,
        requantizer=RequantizerPlan.of(
            layer.requantize, output.type, sum_bits=sum_bits, reloadable=reloadable
        ),
        factor_bits=(first_factor, second_factor),
        left_shift=layer.left_shift,
        input_shifts=layer.shifts,
    )


def plan_multiply(
    network: IntegerNetwork, layer: Multiply, lanes: int, *, reloadable: bool = False
) -> MultiplyPlan:
    """Plan a product of `lanes` channels at a time."""
    first, second = network.inputs_of(layer)
    output = network.tensors[layer.name]
    low, high = layer.accumulator_range((first, second))
    return MultiplyPlan(
        name=layer.name,
        inputs=(first, second),
        output=output,
        lanes=lanes,
        requantizer=RequantizerPlan.of(
            layer.requantize,
            output.type,
            sum_bits=signed_bits(min(low, 0), max(high, 0)),
            reloadable=reloadable,
        ),
    )


def plan_table(network: IntegerNetwork, layer: Table, lanes: int) -> TablePlan:
    """Plan a table that `lanes` channels at a time are looked up in."""
    return TablePlan(
        name=layer.name,
        input=image_of(network, layer),
        output=network.tensors[layer.name],
        lanes=lanes,
    )


def plan_arg_max(network: IntegerNetwork, layer: ArgMax, lanes: int) -> ArgMaxPlan:
    """Plan a search for the greatest channel that reads `lanes` channels at a time."""
    return ArgMaxPlan(
        name=layer.name,
        input=image_of(network, layer),
        output=network.tensors[layer.name],
        lanes=lanes,
    )


def narrow_input(engine: EnginePlan, pace: int) -> EnginePlan:
    """Narrow the input stream as far as the pace allows, where that changes no memory."""
    if not isinstance(engine, ConvPlan):
        return engine
    words = engine.window.input_pixels * engine.reads.groups
    groups = least_divisor(engine.banks, lambda together: words // together <= pace)
    return replace(engine, groups_per_transfer=groups)


def divisors(number: int) -> Iterator[int]:
    """Divisors, ascending."""
    return (divisor for divisor in range(1, number + 1) if number % divisor == 0)


def least_divisor(number: int, suffices: Callable[[int], bool]) -> int:
    """Find the smallest divisor that suffices; `number` itself if none does."""
    return next((divisor for divisor in divisors(number) if suffices(divisor)), number)


def power_of_two(least: int) -> int:
    """Find the smallest power of two, from 2, that is at least `least`."""
    return 1 << max(least - 1, 1).bit_length()

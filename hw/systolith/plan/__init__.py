"""Folding, array shapes and the cycle model: all that is known before there is hardware."""

from systolith.plan.area.clock import SPEED_FACTORS, estimate_fmax_mhz
from systolith.plan.area.resources import resources_of
from systolith.plan.area.routing import RoutingEstimate, estimate_routing
from systolith.plan.choose.arrays import array_shapes, choose_arrays, least_cycles
from systolith.plan.choose.options import EngineOption, conv_options, other_options
from systolith.plan.choose.sketch import OptionTable, Sketch, sketch_design
from systolith.plan.cycles.timeline import Timeline, compute_timeline
from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.arg_max_plan import ArgMaxPlan
from systolith.plan.engines.conv_plan import ConvPlan
from systolith.plan.engines.multiply_plan import MultiplyPlan
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.engines.table_plan import TablePlan
from systolith.plan.errors import PlanError
from systolith.plan.moving.block_plan import BlockPlan
from systolith.plan.moving.concat_plan import ConcatPlan
from systolith.plan.moving.select_plan import SelectPlan
from systolith.plan.network_plan import DEFAULT_MULTIPLIERS, NetworkPlan, plan_network
from systolith.plan.sizes.array_shape import ArrayShape, Feed, MultiplierKind, SingleBits
from systolith.plan.sizes.latency import (
    ARRIVE_LATENCY,
    BUFFER_LATENCY,
    DEEP_LATENCY,
    DEEP_ROOM_LATENCY,
    MULTIPLIER_LATENCY,
    POOL_LATENCY,
    PREFETCHED,
    PSUM_TERMS,
    THRESHOLD_LATENCY,
    WEIGH_LATENCY,
    lut_product_latency,
    lut_sum_latency,
    lut_terms,
    multiplier_latency,
    requantize_latency,
    threshold_latency,
)
from systolith.plan.sizes.memory import Memories, MemoryKind
from systolith.plan.sizes.packing import PackedWeights, Tap, pack_weights, row_taps
from systolith.plan.sizes.partial_products import (
    FACTOR_BITS,
    PartialProduct,
    partial_products,
)
from systolith.plan.sizes.popcount import CountTree, count_tree
from systolith.plan.sizes.reduction import Reduction
from systolith.plan.sizes.requantizer_widths import (
    SPARE_BIAS_BITS,
    addends,
    offset_bits,
    scale_bits,
    signed_factor,
    threshold_bits,
    trailing_zeros,
    zeros_at_end,
)
from systolith.plan.sizes.sums import fold_bias
from systolith.plan.sizes.threshold_search import ThresholdSearch, memory_of
from systolith.plan.sizes.weight_memory import WeightMemory, WeightTile
from systolith.plan.sizes.window import Window
from systolith.plan.sizes.workload import (
    Workload,
    engine_problems,
    output_ports,
    source_of,
    workload_of,
)
from systolith.plan.streams.fork_plan import ForkPlan
from systolith.plan.streams.gearbox_plan import GearboxPlan
from systolith.plan.streams.queue_reasons import Queue, list_queues
from systolith.plan.streams.stage_graph import (
    Edge,
    EnginePlan,
    MovingPlan,
    StageGraph,
    StagePlan,
    WindowedEngine,
    signal_name,
)

__all__ = [
    "ARRIVE_LATENCY",
    "BUFFER_LATENCY",
    "DEEP_LATENCY",
    "DEEP_ROOM_LATENCY",
    "DEFAULT_MULTIPLIERS",
    "FACTOR_BITS",
    "MULTIPLIER_LATENCY",
    "POOL_LATENCY",
    "PREFETCHED",
    "PSUM_TERMS",
    "SPARE_BIAS_BITS",
    "SPEED_FACTORS",
    "THRESHOLD_LATENCY",
    "WEIGH_LATENCY",
    "AddPlan",
    "ArgMaxPlan",
    "ArrayShape",
    "BlockPlan",
    "ConcatPlan",
    "ConvPlan",
    "CountTree",
    "Edge",
    "EngineOption",
    "EnginePlan",
    "Feed",
    "ForkPlan",
    "GearboxPlan",
    "Memories",
    "MemoryKind",
    "MovingPlan",
    "MultiplierKind",
    "MultiplyPlan",
    "NetworkPlan",
    "OptionTable",
    "PackedWeights",
    "PartialProduct",
    "PlanError",
    "PoolPlan",
    "Queue",
    "Reduction",
    "RoutingEstimate",
    "SelectPlan",
    "SingleBits",
    "Sketch",
    "StageGraph",
    "StagePlan",
    "TablePlan",
    "Tap",
    "ThresholdSearch",
    "Timeline",
    "WeightMemory",
    "WeightTile",
    "Window",
    "WindowedEngine",
    "Workload",
    "addends",
    "array_shapes",
    "choose_arrays",
    "compute_timeline",
    "conv_options",
    "count_tree",
    "engine_problems",
    "estimate_fmax_mhz",
    "estimate_routing",
    "fold_bias",
    "least_cycles",
    "list_queues",
    "lut_product_latency",
    "lut_sum_latency",
    "lut_terms",
    "memory_of",
    "multiplier_latency",
    "offset_bits",
    "other_options",
    "output_ports",
    "pack_weights",
    "partial_products",
    "plan_network",
    "requantize_latency",
    "resources_of",
    "row_taps",
    "scale_bits",
    "signal_name",
    "signed_factor",
    "sketch_design",
    "source_of",
    "threshold_bits",
    "threshold_latency",
    "trailing_zeros",
    "workload_of",
    "zeros_at_end",
]

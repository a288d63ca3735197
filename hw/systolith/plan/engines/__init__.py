"""Plans of single engines: how a layer is folded onto a PE array, a pool or an adder."""

from systolith.plan.engines.add_plan import AddPlan
from systolith.plan.engines.conv_plan import ArrayShape, ConvPlan, MultiplierKind
from systolith.plan.engines.depthwise_plan import DepthwisePlan
from systolith.plan.engines.gather_plan import GatherPlan
from systolith.plan.engines.latency import (
    ARRIVE_LATENCY,
    CREDIT_LATENCY,
    DEEP_LATENCY,
    DEEP_ROOM_LATENCY,
    MULTIPLIER_LATENCY,
    PREFETCHED,
    requantize_latency,
)
from systolith.plan.engines.layer_engines import (
    add_engine,
    conv_engine,
    divisors,
    narrowed,
    pool_engine,
)
from systolith.plan.engines.memory import Memory, MemoryKind
from systolith.plan.engines.packing import PackedWeights, Tap, pack_weights, row_taps
from systolith.plan.engines.pool_plan import PoolPlan
from systolith.plan.engines.reduction import Reduction
from systolith.plan.engines.requantizer_widths import (
    SPARE_BIAS_BITS,
    addends,
    offset_bits,
    raised_by,
    scale_bits,
)
from systolith.plan.engines.window import Window
from systolith.plan.engines.windowed_plan import FREE_LATENCY, READ_LATENCY, WindowedPlan
from systolith.plan.engines.workload import (
    Work,
    folded_bias,
    image_of,
    no_engine,
    output_ports,
    source_of,
    unsupported,
    window_of,
    work_of,
)

__all__ = [
    "ARRIVE_LATENCY",
    "CREDIT_LATENCY",
    "DEEP_LATENCY",
    "DEEP_ROOM_LATENCY",
    "FREE_LATENCY",
    "MULTIPLIER_LATENCY",
    "PREFETCHED",
    "READ_LATENCY",
    "SPARE_BIAS_BITS",
    "AddPlan",
    "ArrayShape",
    "ConvPlan",
    "DepthwisePlan",
    "GatherPlan",
    "Memory",
    "MemoryKind",
    "MultiplierKind",
    "PackedWeights",
    "PoolPlan",
    "Reduction",
    "Tap",
    "Window",
    "WindowedPlan",
    "Work",
    "add_engine",
    "addends",
    "conv_engine",
    "divisors",
    "folded_bias",
    "image_of",
    "narrowed",
    "no_engine",
    "offset_bits",
    "output_ports",
    "pack_weights",
    "pool_engine",
    "raised_by",
    "requantize_latency",
    "row_taps",
    "scale_bits",
    "source_of",
    "unsupported",
    "window_of",
    "work_of",
]

"""The choice of an engine for each layer within a budget or for a number of cycles."""

from systolith.plan.choose.arrays import (
    array_shapes,
    bad_arrays,
    choose_arrays,
    least_cycles,
    shapes_by_layer,
)
from systolith.plan.choose.knapsack import Limits, Vector, front, least_cost
from systolith.plan.choose.options import (
    EngineOption,
    choose_engines,
    conv_options,
    engine_options,
    other_options,
)
from systolith.plan.choose.sketch import OptionTable, Sketch, sketch
from systolith.plan.choose.solver import Choice, choose

__all__ = [
    "Choice",
    "EngineOption",
    "Limits",
    "OptionTable",
    "Sketch",
    "Vector",
    "array_shapes",
    "bad_arrays",
    "choose",
    "choose_arrays",
    "choose_engines",
    "conv_options",
    "engine_options",
    "front",
    "least_cost",
    "least_cycles",
    "other_options",
    "shapes_by_layer",
    "sketch",
]

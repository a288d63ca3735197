"""From ReuseFactor, Rows, Columns, Multipliers and Device to a plan."""

from systolith.devices import DEVICES
from systolith.hls4ml_backend.configuration import Configuration
from systolith.hls4ml_backend.errors import ConversionError
from systolith.network import Conv2d, IntegerNetwork
from systolith.plan import (
    ArrayShape,
    NetworkPlan,
    PlanError,
    Work,
    array_shapes,
    plan_network,
    work_of,
)

__all__ = ["plan_mapped"]


def plan_mapped(
    network: IntegerNetwork, configuration: Configuration, origins: dict[str, str]
) -> NetworkPlan:
    """Lay the network out as its configuration says.

    ``Rows`` and ``Columns`` fix a layer's array. ``ReuseFactor``, if more than 1, is the number of
    cycles in which an output position is computed: the array is the smallest that takes no more,
    which is as many as hls4ml uses each multiplier for. 1, which hls4ml sets where nothing is
    said, leaves the array to the planner, as does a layer without either: the slowest layer is then
    as fast as ``Multipliers`` (64 if nothing is said) or the ``Device`` allow.

    Parameters
    ----------
    network : IntegerNetwork
    configuration : Configuration
    origins : dict of str to str
        Layer of hls4ml by layer of the network.

    Raises
    ------
    ConversionError
        If arrays do not fit their layers, or the budget is too small.
    """
    arrays = {}
    for layer in network.layers:
        if not isinstance(layer, Conv2d):
            continue
        origin = origins[layer.name]
        work = work_of(network, layer)
        if origin in configuration.arrays:
            rows, columns = configuration.arrays[origin]
            arrays[layer.name] = ArrayShape(rows=rows, columns=columns)
        elif origin in configuration.reuse:
            arrays[layer.name] = _smallest(work, configuration.reuse[origin])
    budget = None
    if configuration.device is not None and configuration.multipliers is None:
        budget = DEVICES[configuration.device].budget
    try:
        return plan_network(
            network, arrays=arrays, multipliers=configuration.multipliers, budget=budget
        )
    except PlanError as error:
        raise ConversionError(error.problems) from error


def _smallest(work: Work, reuse: int) -> ArrayShape:
    """Find the array of fewest multipliers that computes an output position in `reuse` cycles."""
    shapes = array_shapes(work)
    fitting = [shape for shape in shapes if folds(work, shape) <= reuse]
    return min(fitting or shapes, key=lambda shape: (shape.total, folds(work, shape)))


def folds(work: Work, shape: ArrayShape) -> int:
    """Cycles that an array takes for one output position."""
    slots = -(-work.slots // shape.multipliers)
    return work.reads.folds(shape.rows) * slots * -(-work.filters // shape.width)

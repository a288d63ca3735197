"""The engines of a run: planned within what [hardware] and [build] leave room for."""

from dataclasses import replace

from systolith.config import BuildSection, HardwareSection
from systolith.gateware.board import server_resources
from systolith.network import Conv2d, IntegerNetwork, Linear
from systolith.plan import NetworkPlan, PlanError, no_engine, plan_network
from systolith.stages.inputs import Inputs, flat
from systolith.stages.narrowing import ONE_MULTIPLIER_BITS, narrowed

__all__ = ["engine_inputs", "judge_untrained", "plan_engines"]

UNTRAINED_LUTS = 1.25
"""Times the budget of LUTs that a network may seem to need before training: it may need fewer."""

NARROWER_FITS = (
    f"with multipliers of {ONE_MULTIPLIER_BITS} bits in requantizers it fits: import the model "
    f"with --multiplier-bits {ONE_MULTIPLIER_BITS}"
)


def plan_engines(
    network: IntegerNetwork,
    hardware: HardwareSection,
    build: BuildSection,
    *,
    more_luts: float = 1.0,
) -> NetworkPlan:
    """Plan a network's engines; on a board they leave room for what serves them.

    Parameters
    ----------
    network : IntegerNetwork
    hardware : HardwareSection
    build : BuildSection
        Of the board, if there is one.
    more_luts : float
        Times the budget of LUTs.

    Raises
    ------
    PlanError
        Also saying whether narrower multipliers of requantizers would fit, where these are wide.
    """
    budget = hardware.budget
    if build.board is not None:
        budget = hardware.budget_beside(server_resources(network, budget.block))
    if budget.luts is not None:
        budget = replace(budget, luts=int(budget.luts * more_luts))

    def planned(of: IntegerNetwork) -> NetworkPlan:
        return plan_network(
            of,
            arrays={name: section.shape for name, section in hardware.arrays.items()},
            budget=budget,
            cycles=hardware.cycles,
            reloadable=hardware.reloadable,
        )

    try:
        return planned(network)
    except PlanError as error:
        narrow = narrowed(network)
        if narrow is None:
            raise
        try:
            planned(narrow)
        except PlanError:
            raise error from None
        raise PlanError([*error.problems, NARROWER_FITS]) from error


def engine_inputs(hardware: HardwareSection, build: BuildSection) -> Inputs:
    """Give everything of a file that decides the engines; a clock does with a target only."""
    unread = {"interface", *(() if hardware.target_fps is not None else ("clock_mhz",))}
    given = dict(flat("hardware", hardware.model_dump(mode="json", exclude=unread)))
    return {"setting": {**given, "build.board": build.board}}


def judge_untrained(
    network: IntegerNetwork, hardware: HardwareSection, build: BuildSection, *, will_change: bool
) -> None:
    """See that there can be engines for a network that is not trained yet.

    Parameters
    ----------
    network : IntegerNetwork
    hardware : HardwareSection
    build : BuildSection
    will_change : bool
        Whether pruning decides on shapes or patterns only later; then no budget is judged.

    Raises
    ------
    PlanError
    """
    if not will_change:
        plan_engines(network, hardware, build, more_luts=UNTRAINED_LUTS)
        return
    names = [layer.name for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    problems = [text for layer in network.layers for text in no_engine(network, layer)]
    problems += [
        f"hardware.arrays must name a layer with weights, one of {', '.join(names)}; got '{name}'"
        for name in hardware.arrays
        if name not in names
    ]
    if problems:
        raise PlanError(problems)

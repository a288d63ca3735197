"""The engines of a run, planned within the limits of [hardware] and [build]."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from systolith.config import BuildSection, HardwareSection
from systolith.devices import DEVICES, Resources
from systolith.gateware.board import server_resources
from systolith.network import (
    Conv2d,
    IntArray,
    IntegerNetwork,
    Layer,
    Linear,
    NetworkError,
    Requantized,
    append_argmax,
)
from systolith.plan import (
    SPEED_FACTORS,
    NetworkPlan,
    PlanError,
    RoutingEstimate,
    engine_problems,
    estimate_fmax_mhz,
    estimate_routing,
    plan_network,
)
from systolith.stages.keys import Inputs, flatten_keys

__all__ = [
    "ONE_MULTIPLIER_BITS",
    "end_with_classes",
    "estimate_fmax",
    "judge_untrained",
    "narrow_multipliers",
    "plan_engines",
    "select_engine_settings",
]

ONE_MULTIPLIER_BITS = 18
"""Width of the multipliers of common devices; wider multipliers take two of them."""

UNTRAINED_LUTS = 1.25
"""Factor on the budget of LUTs before training, which may make a network smaller."""

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
    """Plan a network's engines; on a board they leave room for its server.

    Parameters
    ----------
    network : IntegerNetwork
    hardware : HardwareSection
    build : BuildSection
        Names the board, if there is one.
    more_luts : float
        Factor on the budget of LUTs.

    Raises
    ------
    PlanError
        The message says whether narrower multipliers of requantizers would fit.
    """
    budget = hardware.budget
    if build.board is not None:
        budget = hardware.budget_beside(server_resources(network, budget.block))
    if budget.luts is not None:
        budget = replace(budget, luts=int(budget.luts * more_luts))

    clock = _clock_model(hardware, build)

    def plan(candidate: IntegerNetwork) -> NetworkPlan:
        return plan_network(
            candidate,
            arrays={name: section.shape for name, section in hardware.arrays.items()},
            budget=budget,
            cycles=hardware.cycles,
            clock=clock,
            frames_per_second=None if clock is None else hardware.target_fps,
            reloadable=hardware.reloadable,
        )

    try:
        return plan(network)
    except PlanError as error:
        narrow = narrow_multipliers(network)
        if narrow is None:
            raise
        try:
            plan(narrow)
        except PlanError:
            raise error from None
        raise PlanError([*error.problems, NARROWER_FITS]) from error


def end_with_classes(network: IntegerNetwork, hardware: HardwareSection) -> IntegerNetwork:
    """Return what the hardware computes: the class of each output, if the chip finds it.

    Raises
    ------
    PlanError
        If an output has no class.
    """
    if not hardware.class_on_chip:
        return network
    try:
        return append_argmax(network)
    except NetworkError as error:
        raise PlanError(error.problems) from error


def estimate_fmax(
    plan: NetworkPlan, hardware: HardwareSection, build: BuildSection
) -> float | None:
    """Estimate the fastest clock in MHz on the device that is planned for.

    Returns None if there is no device, or no model of its timing.
    """
    if not hardware.estimates_clock:
        return None
    assert hardware.device is not None
    device = DEVICES[hardware.device]
    return estimate_fmax_mhz(plan.resources, device, speed=_speed_of(build))


def _clock_model(
    hardware: HardwareSection, build: BuildSection
) -> Callable[[Resources], float] | None:
    """Return the estimated clock of a design, by which plans are compared.

    None if a clock is given, or if there is no model of the device's timing: then cycles decide.
    """
    if hardware.clock_mhz is not None or not hardware.estimates_clock:
        return None
    assert hardware.device is not None
    device, speed = DEVICES[hardware.device], _speed_of(build)
    # A network of nothing but wires takes no LUTs.
    return lambda taken: estimate_fmax_mhz(taken.at_least(Resources(luts=1)), device, speed=speed)


def _speed_of(build: BuildSection) -> int:
    part = build.part
    return part.speed if part is not None and part.speed is not None else min(SPEED_FACTORS)


def estimate_place_and_route(
    plan: NetworkPlan, hardware: HardwareSection, build: BuildSection
) -> RoutingEstimate | None:
    """Estimate place and route on the device that is planned for; None without device or data."""
    if hardware.device is None:
        return None
    return estimate_routing(
        plan.resources, DEVICES[hardware.device], limit_minutes=build.time_limit_minutes
    )


def select_engine_settings(hardware: HardwareSection, build: BuildSection) -> Inputs:
    """Return all settings that decide the engines.

    The clock is one with a target. Without, it counts only whether a clock is given where one would
    be estimated; the speed grade counts with a target and an estimated clock.
    """
    unread = {"interface", *(() if hardware.target_fps is not None else ("clock_mhz",))}
    given = dict(flatten_keys("hardware", hardware.model_dump(mode="json", exclude=unread)))
    clock = _clock_model(hardware, build)
    estimates = {
        "hardware.clock_mhz": None if clock is None else "estimated",
        "build.speed": None if clock is None or not hardware.target_fps else _speed_of(build),
    }
    estimated = {name: value for name, value in estimates.items() if value is not None}
    return {"setting": {**given, **estimated, "build.board": build.board}}


def judge_untrained(
    network: IntegerNetwork, hardware: HardwareSection, build: BuildSection, *, will_change: bool
) -> NetworkPlan | None:
    """Check that a network can have engines before it is trained.

    Parameters
    ----------
    network : IntegerNetwork
    hardware : HardwareSection
    build : BuildSection
    will_change : bool
        Whether pruning will change shapes or patterns. Then the budget is not checked.

    Returns
    -------
    NetworkPlan or None
        None if the network will change.

    Raises
    ------
    PlanError
    """
    network = end_with_classes(network, hardware)
    if not will_change:
        return plan_engines(network, hardware, build, more_luts=UNTRAINED_LUTS)
    names = [layer.name for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    problems = [text for layer in network.layers for text in engine_problems(network, layer)]
    problems += [
        f"hardware.arrays must name a layer with weights, one of {', '.join(names)}; got '{name}'"
        for name in hardware.arrays
        if name not in names
    ]
    PlanError.raise_if_any(problems)
    return None


def narrow_multipliers(network: IntegerNetwork) -> IntegerNetwork | None:
    """Round multipliers of requantizers to 18 bits; None if all of them are as narrow already.

    The result is for planning only: it takes the same hardware as an import with
    ``--multiplier-bits 18``, but computes something else.
    """
    layers = tuple(_narrow_layer(layer) for layer in network.layers)
    if all(new is old for new, old in zip(layers, network.layers, strict=True)):
        return None
    return replace(network, layers=layers)


def _narrow_layer(layer: Layer) -> Layer:
    if not isinstance(layer, Requantized):
        return layer
    spec = layer.requantize
    widest = spec.multiplier
    if spec.negative is not None:
        widest = np.maximum(widest, np.abs(spec.negative))
    surplus = _surplus(widest, spec.shift)
    if not surplus.any():
        return layer
    shift = np.broadcast_to(spec.shift, surplus.shape) - surplus
    offset = None if spec.offset is None else spec.offset >> surplus
    return replace(
        layer,
        requantize=replace(
            spec,
            multiplier=spec.multiplier >> surplus,
            shift=shift,
            offset=offset,
            negative=None if spec.negative is None else spec.negative >> surplus,
        ),
    )


def _surplus(multiplier: IntArray, shift: IntArray) -> IntArray:
    """Count the bits of each multiplier beyond the limit."""
    bits = np.array([int(value).bit_length() for value in multiplier])
    return np.asarray(np.minimum(np.maximum(bits - ONE_MULTIPLIER_BITS, 0), shift))

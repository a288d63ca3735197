"""Estimates of a point's hardware before training: hundreds of points per second."""

from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil, log2

from torch import Tensor, nn

from systolith.compress import FilterScorePruning
from systolith.config import HardwareSection
from systolith.devices import DEVICES, Budget, Family, Resources, variants_of
from systolith.frontend import lower
from systolith.network import (
    Conv2d,
    Flatten,
    IntegerNetwork,
    KOutOfN,
    Linear,
    NetworkError,
    Pattern,
    PerNeuron,
)
from systolith.plan import (
    SPEED_FACTORS,
    OptionTable,
    Sketch,
    Workload,
    array_shapes,
    conv_options,
    engine_problems,
    estimate_fmax_mhz,
    other_options,
    sketch_design,
    workload_of,
)
from systolith.prune import (
    FilterBudget,
    FilterScore,
    StridedPattern,
    find_channel_groups,
    prunable_layers,
    remove_filters,
    score_filters,
    select_filters_by_layer,
)
from systolith.prune.decisions import weight_shape
from systolith.prune.filters_first import filter_weights
from systolith.quant import LayerBits, QuantConfig, prepare
from systolith.stages.cycle_costs import apply_pattern
from systolith.stages.software.factories import make_bits
from systolith.tune.space import DesignSpace, SearchPoint

__all__ = ["DEFAULT_CLOCK_MHZ", "Estimate", "HardwareModel", "clock_of", "model_bits"]

DEFAULT_CLOCK_MHZ = 100.0
"""Used if neither a clock nor a device with an estimate of its clock is given."""

Bits = tuple[tuple[str, int], ...]
"""Widths of activations that differ from [quantize], by layer."""
Chosen = Pattern | StridedPattern


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Estimated speed and resources.

    Attributes
    ----------
    cycles, latency_cycles : int
        Cycles per frame; cycles from its first input to its last output, or those of one frame if
        the latency is unknown.
    clock_mhz : float
    resources : Resources
    model_bits : int
    """

    cycles: int
    latency_cycles: int
    clock_mhz: float
    resources: Resources
    model_bits: int


class HardwareModel:
    """Estimates the hardware of points; caches the results of each layer.

    Cycles and resources are those of the engines that the planner would choose; without the streams
    between them, see :mod:`systolith.plan.choose.sketch`.

    Parameters
    ----------
    space : DesignSpace
    model : nn.Module
        Dense. If it is trained, the widths of sums are realistic.
    images : Tensor, shape (N, C, H, W)
        Calibration images.
    """

    def __init__(self, space: DesignSpace, model: nn.Module, images: Tensor) -> None:
        self.space, self.model, self.images = space, model, images
        self._models: dict[float, nn.Module] = {1.0: model}
        self._networks: dict[tuple[float, int, Bits], _Lowered] = {}
        self._works: dict[tuple[str, Chosen, int, float, Bits], Workload | None] = {}
        self._sizes: dict[tuple[str, Chosen, int, float], int] = {}
        self._tables: dict[tuple[Workload | str, Bits, float, Budget], OptionTable] = {}

    @cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers with weights, in the network's order, as the model has them."""
        config = make_bits(self.space.experiment, self.images)
        return tuple(self._lower(1.0, config.weight_bits, ()).origins.values())

    def estimate(self, point: SearchPoint) -> Estimate | None:
        """Estimate a point; None if no engine computes it or no device holds it."""
        share, acts = float(point.get("filters", 1.0)), self._acts(point)
        config = make_bits(self.space.experiment, self.images)
        lowered = self._lower(share, config.weight_bits, acts)
        hardware = self.space.hardware(point)
        budget = hardware.budget
        # Tables do not depend on the limit of multipliers.
        relative = replace(budget, multipliers=None)
        choices = self._choices(point)
        tables, size = [], 0
        for layer in lowered.network.layers:
            key: Workload | str = layer.name
            if isinstance(layer, Flatten):
                continue
            if isinstance(layer, Conv2d | Linear):
                origin = lowered.origins[layer.name]
                pattern, bits = choices.get(origin, (Pattern(), config.weight_bits))
                work = self._work(origin, pattern, bits, share, acts)
                if work is None:
                    return None
                key = replace(work, name="")
                size += self._sizes[origin, pattern, bits, share]
            cached = key, () if isinstance(key, Workload) else acts, share, relative
            if cached not in self._tables:
                self._tables[cached] = self._table(lowered.network, key, relative)
            tables.append(self._tables[cached])
        drawn = sketch_design(tables, budget, cycles=hardware.cycles)
        return None if drawn is None else _estimate(drawn, hardware, size)

    def _choices(self, point: SearchPoint) -> dict[str, tuple[Chosen, int]]:
        """Return the pattern and the weight width of each layer."""
        width = self.space.experiment.quantize.weight_bits
        return {
            layer: (group.pattern(point), int(point.get(f"{group.name} weight bits", width)))
            for group in self.space.groups
            for layer in group.layers
        }

    def _acts(self, point: SearchPoint) -> Bits:
        return tuple(
            (layer, int(point[name]))
            for group in self.space.groups
            if (name := f"{group.name} activation bits") in point
            for layer in group.layers
        )

    def _table(self, network: IntegerNetwork, key: Workload | str, budget: Budget) -> OptionTable:
        if isinstance(key, Workload):
            return OptionTable(conv_options(key, array_shapes(key), budget), budget)
        layer = network[key]
        assert not isinstance(layer, Conv2d | Linear | Flatten)
        return OptionTable(other_options(network, layer, budget), budget)

    def _work(
        self, origin: str, chosen: Chosen, bits: int, share: float, acts: Bits
    ) -> Workload | None:
        key = (origin, chosen, bits, share, acts)
        if key not in self._works:
            lowered = self._lower(share, bits, acts)
            layer = lowered.layers[origin]
            pattern = self._network_pattern(origin, chosen, share, lowered)
            if pattern is None:
                self._works[key] = None
                return None
            layer = apply_pattern(layer, pattern)
            unfit = any(engine_problems(lowered.network, layer))
            self._works[key] = None if unfit else workload_of(lowered.network, layer)
            self._sizes[origin, chosen, bits, share] = _layer_bits(layer)
        return self._works[key]

    def _network_pattern(
        self, origin: str, chosen: Chosen, share: float, lowered: "_Lowered"
    ) -> Pattern | None:
        """Return the pattern of the integer layer; None if the layer cannot have it."""
        layer = lowered.layers[origin]
        weight = filter_weights(prunable_layers(self._remove_filters(share))[origin])
        if any(chosen.problems(weight_shape(weight))):
            return None
        try:
            placed = self._place_taps(origin, chosen, share)
            return lowered.quantized.network_pattern(layer.name, placed)
        except NetworkError:
            return None

    def _place_taps(self, origin: str, chosen: Chosen, share: float) -> Pattern:
        """Choose the offsets of taps by the float weights, as training does."""
        if isinstance(chosen, Pattern):
            return chosen
        layer = prunable_layers(self._remove_filters(share))[origin]
        return chosen.over(filter_weights(layer), getattr(layer, "groups", 1))

    def _lower(self, share: float, bits: int, acts: Bits) -> "_Lowered":
        """Lower the model without masks and with one weight width."""
        key = (share, bits, acts)
        if key not in self._networks:
            config = make_bits(self.space.experiment, self.images)
            layers = {name: LayerBits(act_bits=width) for name, width in acts}
            self._networks[key] = _Lowered(
                self._remove_filters(share),
                self.images,
                replace(config, weight_bits=bits, layers=layers),
            )
        return self._networks[key]

    def _remove_filters(self, share: float) -> nn.Module:
        """Return the model with a share of each layer's filters, as many as training keeps."""
        if share not in self._models:
            groups = find_channel_groups(self.model, self.images[:2])
            budget = FilterBudget(keep=share, min_ratio=FilterScorePruning(keep=share).min_ratio)
            scores = score_filters(self.model, groups, FilterScore.L1)
            filters = select_filters_by_layer(groups, scores, budget)
            self._models[share] = remove_filters(self.model, filters, self.images[:2])
        return self._models[share]


class _Lowered:
    """A network, and its layers with weights by their names in the model."""

    def __init__(self, model: nn.Module, images: Tensor, config: QuantConfig) -> None:
        self.quantized = quantized = prepare(model, images, config)
        self.network = lower(quantized)
        self.origins = {
            layer.name: quantized.origins[layer.name]
            for layer in self.network.layers
            if isinstance(layer, Conv2d | Linear)
        }
        self.layers: dict[str, Conv2d | Linear] = {
            self.origins[layer.name]: layer
            for layer in self.network.layers
            if isinstance(layer, Conv2d | Linear)
        }


def clock_of(hardware: HardwareSection, resources: Resources, *, speed: int | None = None) -> float:
    """Return the given clock, or an estimate for the device, in MHz."""
    if hardware.clock_mhz is not None:
        return hardware.clock_mhz
    if hardware.device is None:
        return DEFAULT_CLOCK_MHZ
    device = DEVICES[hardware.device]
    if device.family is not Family.ECP5:
        return variants_of(device).clock_mhz
    return estimate_fmax_mhz(resources, device, speed=speed or min(SPEED_FACTORS))


def model_bits(network: IntegerNetwork) -> int:
    """Count the bits of all kept weights and of their indices."""
    return sum(_layer_bits(layer) for layer in network.layers if isinstance(layer, Conv2d | Linear))


def _layer_bits(layer: Conv2d | Linear) -> int:
    kept = layer.weight.size if layer.mask is None else int(layer.mask.sum())
    places = 1
    match layer.pattern.select:
        case KOutOfN(n=n, k=k) as select if k < n:
            places, shared = n, select.shared_by
        case PerNeuron(shared_by=shared):
            places = layer.weight[0].size
    index = kept // shared * ceil(log2(places)) if places > 1 else 0
    return kept * layer.weight_bits + index


def _estimate(drawn: Sketch, hardware: HardwareSection, size: int) -> Estimate:
    return Estimate(
        cycles=drawn.cycles,
        latency_cycles=drawn.cycles,
        clock_mhz=clock_of(hardware, drawn.resources),
        resources=drawn.resources,
        model_bits=size,
    )

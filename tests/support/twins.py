"""Networks that differ from others in their parameters only, and designs that pass as others."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from systolith.emit import Design, load_design, write_design
from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    IntegerNetwork,
    Layer,
    Linear,
    Multiply,
    Requantize,
    Strided,
    Table,
    content_hash,
)
from systolith.plan import NetworkPlan, scale_bits


def twin(network: IntegerNetwork, seed: int) -> IntegerNetwork:
    """Draw other weights, masks, biases, multipliers and shifts."""
    rng = np.random.default_rng(seed)
    layers = tuple(_twin(rng, layer) for layer in network.layers)
    return replace(network, layers=layers)


def _twin(rng: np.random.Generator, layer: Layer) -> Layer:
    match layer:
        case Conv2d() | Linear():
            pattern, shape = layer.pattern, layer.weight.shape
            window = shape if isinstance(layer, Conv2d) else (*shape, 1, 1)
            if isinstance(taps := pattern.taps, Strided) and len(set(taps.offsets)) > 1:
                # a permutation of groups that keeps the counts of taps, where they differ
                pattern = replace(pattern, taps=replace(taps, offsets=taps.offsets[::-1]))
            mask = None
            if layer.mask is not None:
                mask = pattern.best_mask(rng.random(window)).reshape(shape)
            bits = layer.weight_bits
            weight = rng.integers(-(1 << bits - 1), 1 << bits - 1, shape)
            if bits == 1:
                weight = rng.choice([-1, 1], shape)
            return replace(
                layer,
                pattern=pattern,
                mask=mask,
                weight=weight if mask is None else weight * mask,
                bias=rng.integers(-99, 100, layer.bias.shape),
                requantize=_requantize(rng, layer.requantize),
            )
        case Add():
            first, second = rng.integers(1, 1 << 16, 2).tolist()
            return replace(
                layer,
                multipliers=(first, second),
                requantize=_requantize(rng, layer.requantize),
            )
        case AvgPool2d() | Multiply():
            return replace(layer, requantize=_requantize(rng, layer.requantize))
        case Table():
            low, high = layer.output.low, layer.output.high
            return replace(layer, values=rng.integers(low, high + 1, layer.values.shape))
        case _:
            return layer


def _requantize(rng: np.random.Generator, spec: Requantize) -> Requantize:
    if (levels := spec.thresholds) is not None:
        low, high = int(levels.min()), int(levels.max())
        return Requantize.by_thresholds(np.sort(rng.integers(low, high + 1, levels.shape), axis=1))
    shift = rng.integers(0, 48, spec.shift.shape) if rng.random() < 0.2 else spec.shift
    offset = None
    if spec.offset is not None and rng.random() < 0.8:
        most = 1 << int(spec.multiplier.max()).bit_length()
        offset = rng.integers(-most, most, spec.offset.shape)
    spec = replace(spec, shift=shift, offset=offset)
    if not scale_bits(spec):
        return spec
    multiplier, negative = rng.integers(2, 1 << 16, spec.multiplier.shape), None
    if spec.negative is not None and rng.random() < 0.8:
        negative = rng.integers(-(1 << 16) + 1, 1 << 16, spec.negative.shape)
    return replace(
        spec, multiplier=multiplier, negative=spec.negative if negative is None else negative
    )


def disguise(broken: IntegerNetwork, plan: NetworkPlan, folder: Path) -> Design:
    """Emit another network, as if it were that of the plan."""
    write_design(replace(plan, network=broken), folder)
    description = folder / "design.json"
    wanted = content_hash(plan.network)
    description.write_text(description.read_text().replace(content_hash(broken), wanted))
    return load_design(description)

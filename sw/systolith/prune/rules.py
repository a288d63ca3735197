"""Rules that assign patterns to layers, checked for all layers before any work."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from systolith.network import AllTaps, KOutOfN, Pattern, PerNeuron
from systolith.prune.decisions import weight_shape
from systolith.prune.errors import PruneError
from systolith.prune.filters_first import Convolution, Transposed, filter_weights
from systolith.prune.strided import StridedPattern

__all__ = [
    "all_convolutions_but_first",
    "check_patterns",
    "frozen_density",
    "match_patterns",
    "match_rules",
    "misfits",
    "prunable_layers",
]


@runtime_checkable
class Prunable(Protocol):
    """A quantized layer: it has a weight and a mask to freeze."""

    weight: nn.Parameter
    mask: Tensor


PrunableLayer = Convolution | nn.Linear | Prunable


def prunable_layers(model: nn.Module) -> dict[str, PrunableLayer]:
    """Return convolutions and linear layers by qualified name, in the order of their registration.

    Layers of a quantized model count, too; their weights have 4 or 2 axes.
    """
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Convolution | nn.Linear)
        or (isinstance(module, Prunable) and module.weight.ndim in (2, 4))
    }


def frozen_density(model: nn.Module) -> float:
    """Kept share of the weights of layers that hold masks, as quantized ones do; 1 without masks.

    Layers whose masks keep everything do not count, as in :attr:`MaskSet.density`.
    """
    layers = [layer for layer in prunable_layers(model).values() if isinstance(layer, Prunable)]
    counts = [(int(layer.mask.sum()), layer.mask.numel()) for layer in layers]
    masked = [(kept, total) for kept, total in counts if kept < total]
    total = sum(total for _, total in masked)
    return sum(kept for kept, _ in masked) / total if total else 1.0


def all_convolutions_but_first(model: nn.Module, pattern: Pattern) -> dict[str, Pattern]:
    """Assign the pattern to every convolution except the first one, which reads images.

    Depthwise convolutions stay dense, too: their filters read one channel.

    Raises
    ------
    PruneError
        If the pattern does not fit a layer; all of them are listed.
    """
    layers = prunable_layers(model)
    convolutions = [name for name, layer in layers.items() if layer.weight.ndim > 2]
    return check_patterns(
        model,
        {name: pattern for name in convolutions[1:] if filter_weights(layers[name]).shape[1] > 1},
    )


def match_patterns(
    model: nn.Module, rules: Sequence[tuple[str, Pattern | StridedPattern]]
) -> dict[str, Pattern]:
    """Assign to each layer the pattern of the last rule whose expression matches its whole name.

    Parameters
    ----------
    model : nn.Module
        Convolutions and linear layers are matched; layers without a rule stay dense.
    rules : sequence of (str, Pattern or StridedPattern)
        Regular expression for qualified layer names, and the pattern. Offsets of strided taps are
        chosen by the layer's current weights.

    Returns
    -------
    dict of str to Pattern
        By layer name.

    Raises
    ------
    PruneError
        If an expression is malformed or matches no layer, or a pattern does not fit its layer; all
        problems are listed.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3))
    >>> match_patterns(model, [("[1-9]", Pattern(select=KOutOfN(2, 8)))])
    {'1': Pattern(select=KOutOfN(k=2, n=8, granularity=<Granularity.WEIGHT: 'weight'>, \
shared_by=1), taps=AllTaps())}
    """
    layers = prunable_layers(model)
    patterns, problems = match_rules(model, rules)
    PruneError.raise_if_any([*problems, *_problems(model, patterns)])
    ordered = {name: patterns[name] for name in layers if name in patterns}
    return {
        name: pattern.over(filter_weights(layers[name]), getattr(layers[name], "groups", 1))
        if isinstance(pattern, StridedPattern)
        else pattern
        for name, pattern in ordered.items()
    }


def match_rules(
    model: nn.Module, rules: Sequence[tuple[str, Pattern | StridedPattern]]
) -> tuple[dict[str, Pattern | StridedPattern], list[str]]:
    """Return patterns by layer name, whether they fit or not, and what is wrong with the rules."""
    names = list(prunable_layers(model))
    patterns: dict[str, Pattern | StridedPattern] = {}
    problems: list[str] = []
    for rule, pattern in rules:
        try:
            matched = [name for name in names if re.fullmatch(rule, name)]
        except re.error as error:
            problems.append(f"rule '{rule}' is not a regular expression: {error}")
            continue
        if not matched:
            problems.append(f"rule '{rule}' must name a layer; there are {', '.join(names)}")
        patterns.update({name: pattern for name in matched})
    return patterns, problems


def check_patterns(model: nn.Module, patterns: Mapping[str, Pattern]) -> dict[str, Pattern]:
    """Return the patterns by layer name if each fits its layer.

    Raises
    ------
    PruneError
        With every problem of every layer.
    """
    if problems := list(_problems(model, patterns)):
        raise PruneError(problems)
    return dict(patterns)


def misfits(layer: PrunableLayer, pattern: Pattern | StridedPattern) -> Iterator[str]:
    """Yield each reason why a layer cannot have a pattern.

    Each phase of a transposed convolution has some of the taps, so only patterns that all taps have
    become patterns of its phases.
    """
    transposed = isinstance(layer, Transposed) or getattr(layer, "phases", None) is not None
    strided = isinstance(pattern, StridedPattern) or not isinstance(pattern.taps, AllTaps)
    if transposed and (strided or isinstance(pattern.select, PerNeuron)):
        yield f"transposed convolutions need k of every n weights or kernels, got {pattern}"
    else:
        yield from pattern.problems(weight_shape(filter_weights(layer)))


def _problems(model: nn.Module, patterns: Mapping[str, Pattern | StridedPattern]) -> Iterator[str]:
    layers = prunable_layers(model)
    owners: dict[Tensor, str] = {}
    for name, layer in layers.items():
        if isinstance(layer.weight, nn.Parameter):  # computed weights are new tensors each time
            owners.setdefault(layer.weight, name)
    for name, pattern in patterns.items():
        if name not in layers:
            yield f"patterns must name a layer of {', '.join(layers)}, got '{name}'"
            continue
        if (owner := owners.get(layers[name].weight, name)) != name:
            yield (
                f"layers '{owner}' and '{name}' share their weights, and so their mask: "
                f"patterns must name only '{owner}'"
            )
        shape = weight_shape(filter_weights(layers[name]))
        select = pattern.select
        if isinstance(select, KOutOfN) and shape[1] % select.n:
            axis = "in_channels" if layers[name].weight.ndim > 2 else "in_features"
            yield (
                f"{select.k}-out-of-{select.n} pruning needs {axis} divisible by {select.n}, "
                f"but layer '{name}' has {shape[1]}"
            )
        else:
            yield from (f"layer '{name}': {problem}" for problem in misfits(layers[name], pattern))

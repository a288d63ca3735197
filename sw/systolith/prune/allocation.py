"""Choice of a pattern per layer for a budget of cycles, MACs or weights."""

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from systolith.network import Pattern
from systolith.prune.decisions import weight_shape
from systolith.prune.errors import PruneError
from systolith.prune.filters.costs import count_costs
from systolith.prune.filters_first import filter_weights
from systolith.prune.rules import prunable_layers
from systolith.prune.topk import topk_mask

__all__ = ["PatternCost", "allocate_patterns", "magnitude_losses", "weight_cost"]

PatternCost = Callable[[Mapping[str, Pattern]], float]
"""Cost of a network with these patterns by layer name; other layers are dense.

The cost must not increase when a pattern keeps fewer weights.
"""


def magnitude_losses(
    model: nn.Module, candidates: Mapping[str, Iterable[Pattern]]
) -> dict[str, dict[Pattern, float]]:
    """Share of each layer's squared weights that the best mask of each pattern prunes.

    Parameters
    ----------
    model : nn.Module
    candidates : mapping of str to iterable of Pattern
        By layer name; dense is added.

    Returns
    -------
    dict of str to dict of Pattern to float
        0..1 by layer name; 0 for dense.
    """
    layers = prunable_layers(model)
    losses: dict[str, dict[Pattern, float]] = {}
    for name, patterns in candidates.items():
        energy = filter_weights(layers[name]).double().square()
        whole = float(energy.sum()) or 1.0
        losses[name] = {Pattern(): 0.0}
        for pattern in patterns:
            kept = float((energy * topk_mask(energy, pattern)).sum())
            losses[name][pattern] = 1 - kept / whole
    return losses


def weight_cost(model: nn.Module, images: Tensor, *, macs: bool) -> PatternCost:
    """Make a cost function that counts kept weights, or their MACs per image.

    Parameters
    ----------
    model : nn.Module
    images : Tensor, shape (N, C, H, W)
        Only the shape matters.
    macs : bool
        Count MACs instead of weights.
    """
    layers = count_costs(model, images).layers
    weights = prunable_layers(model)

    def cost(patterns: Mapping[str, Pattern]) -> float:
        total = 0.0
        for name, layer in weights.items():
            share = patterns.get(name, Pattern()).kept(weight_shape(filter_weights(layer)))
            size = layer.weight.numel()
            total += share * (layers[name].macs / size if macs else 1.0)
        return total

    return cost


def allocate_patterns(
    losses: Mapping[str, Mapping[Pattern, float]], cost: PatternCost, budget: float
) -> dict[str, Pattern]:
    """Choose a pattern for each layer that meets the budget, with a greedy search for small losses.

    Each step changes one layer to the sparser pattern with the least additional loss per saved
    cost, until the budget is met. Then layers return to patterns with a smaller loss where the
    budget allows it, starting with the layer that lost most. If several layers limit the speed
    together, no single change saves anything; then the change with the least loss is made.

    Parameters
    ----------
    losses : mapping of str to mapping of Pattern to float
        Candidates with their losses, by layer name: from :func:`magnitude_losses`, or measured
        sensitivities.
    cost : callable
        Cost of patterns by layer name.
    budget : float
        Highest cost.

    Returns
    -------
    dict of str to Pattern
        By layer name, without layers that stay dense.

    Raises
    ------
    PruneError
        If even the cheapest patterns cost more.

    Examples
    --------
    >>> from systolith.network import KOutOfN
    >>> half = Pattern(select=KOutOfN(1, 2))
    >>> losses = {"a": {Pattern(): 0.0, half: 0.1}, "b": {Pattern(): 0.0, half: 0.3}}
    >>> sizes = {"a": 10, "b": 20}
    >>> cost = lambda patterns: sum(n / 2 if p == half else n for n, p in
    ...     ((sizes[name], patterns.get(name)) for name in sizes))
    >>> sorted(allocate_patterns(losses, cost, 25))
    ['a']
    """
    chosen = {name: min(options, key=lambda p: options[p]) for name, options in losses.items()}
    now = cost(chosen)
    while now > budget:
        moves = []
        for name, options in losses.items():
            for pattern, loss in options.items():
                lost = loss - options[chosen[name]]
                if lost <= 0 or pattern == chosen[name]:
                    continue
                saved = now - cost({**chosen, name: pattern})
                moves.append((lost / saved if saved > 0 else torch.inf, lost, name, pattern))
        if not moves:
            raise PruneError([f"a budget of {budget:g} cannot be met: the least cost is {now:g}"])
        _, _, name, pattern = min(moves, key=lambda move: move[:3])
        chosen[name] = pattern
        now = cost(chosen)
    for name in sorted(chosen, key=lambda name: -losses[name][chosen[name]]):
        for pattern, loss in sorted(losses[name].items(), key=lambda item: item[1]):
            if loss < losses[name][chosen[name]] and cost({**chosen, name: pattern}) <= budget:
                chosen[name] = pattern
                break
    return {name: pattern for name, pattern in chosen.items() if not pattern.is_dense}

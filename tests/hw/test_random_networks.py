"""Random networks are a test of something only if every kind of layer and pattern is drawn."""

from collections import Counter

from systolith.network import AvgPool2d, Conv2d, KOutOfN, Linear, MaxPool2d, PerNeuron, Strided
from tests.hw.random_networks import random_network

SEEDS = range(36)
"""Those of the pipelines that are simulated."""


def test_every_kind_of_layer_and_pattern_is_drawn() -> None:
    kinds: Counter[str] = Counter()
    for seed in SEEDS:
        network = random_network(seed)
        kinds["several outputs"] += len(network.outputs) > 1
        for layer in network.layers:
            kinds[type(layer).__name__] += 1
            if isinstance(layer, Conv2d):
                select, taps = layer.pattern.select, layer.pattern.taps
                kinds[type(select).__name__] += 1
                kinds[type(taps).__name__] += 1
                kinds["depthwise"] += layer.groups > 1
                kinds["both"] += isinstance(select, KOutOfN) and isinstance(taps, Strided)
    names = [kind.__name__ for kind in (Conv2d, Linear, MaxPool2d, AvgPool2d)]
    names += [kind.__name__ for kind in (KOutOfN, PerNeuron, Strided)]
    assert all(kinds[name] >= 3 for name in (*names, "depthwise", "both", "several outputs")), kinds

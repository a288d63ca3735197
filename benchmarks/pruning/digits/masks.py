"""Masks of weights: each method against random masks, and against frozen masks by magnitude."""

from collections.abc import Mapping
from functools import partial

import torch

from benchmarks.pruning.digits.bench import DigitsBench, Trial
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    SRSTE,
    FrozenMasks,
    ScorePruner,
    WeightSparsifier,
    all_convolutions_but_first,
)

PATTERNS = {"1of16": Pattern(select=KOutOfN(1, 16)), "2of16": Pattern(select=KOutOfN(2, 16))}


def train_with(bench: DigitsBench, method: str, pattern: Pattern) -> Mapping[str, float]:
    """Prune every convolution but the first with one method."""
    model = bench.trained()
    patterns = all_convolutions_but_first(model, pattern)
    generator = torch.Generator().manual_seed(bench.seed)
    sparsifier: WeightSparsifier
    match method:
        case "random":
            pruner = ScorePruner(
                patterns=patterns,
                score=lambda name, weight: torch.rand(weight.shape, generator=generator),
            )
            sparsifier = FrozenMasks(pruner.masks(model))
        case "magnitude":
            sparsifier = FrozenMasks(ScorePruner(patterns=patterns).masks(model))
        case "sr-ste":
            sparsifier = SRSTE(ScorePruner(patterns=patterns))
        case _:
            raise ValueError(method)
    bench.fit(model, sparsifier=sparsifier)
    sparsifier.masks(model).apply_(model)
    return bench.judge(model)


TRIALS: Mapping[str, Trial] = {
    f"{method}-{name}": partial(train_with, method=method, pattern=pattern)
    for name, pattern in PATTERNS.items()
    for method in ("random", "magnitude", "sr-ste")
}

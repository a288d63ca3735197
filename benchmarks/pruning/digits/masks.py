"""Masks of weights: each method against random masks, and against frozen masks by magnitude."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.pruning.digits.bench import EPOCHS, DigitsBench, Trial
from systolith.network import Granularity, KOutOfN, Pattern
from systolith.prune import (
    ADMM,
    DPF,
    DPP,
    SPP,
    SRSTE,
    Cubic,
    FrozenMasks,
    LogitInit,
    MaskSet,
    ScorePruner,
    WeightSparsifier,
    all_convolutions_but_first,
)
from systolith.train import Algorithm

PATTERNS = {
    "1of16": Pattern(select=KOutOfN(1, 16)),
    "2of16": Pattern(select=KOutOfN(2, 16)),
    "kernel-1of16": Pattern(select=KOutOfN(1, 16, Granularity.KERNEL)),
}
SGD = {"algorithm": Algorithm.SGD, "learning_rate": 0.05}
"""Of weights, as in the benchmarks on CIFAR-10; the default is AdamW."""

Make = Callable[[nn.Module, Mapping[str, Pattern], DigitsBench], WeightSparsifier]


def _random(
    model: nn.Module, patterns: Mapping[str, Pattern], bench: DigitsBench
) -> WeightSparsifier:
    generator = torch.Generator().manual_seed(bench.seed)
    pruner = ScorePruner(
        patterns=patterns,
        score=lambda name, weight: torch.rand(weight.shape, generator=generator),
    )
    return FrozenMasks(pruner.masks(model))


def _steps(bench: DigitsBench) -> int:
    return EPOCHS * -(-len(bench.data.train_images) // 64)


METHODS: Mapping[str, Make] = {
    "random": _random,
    "magnitude": lambda model, patterns, bench: FrozenMasks(
        ScorePruner(patterns=patterns).masks(model)
    ),
    "sr-ste": lambda model, patterns, bench: SRSTE(ScorePruner(patterns=patterns)),
    "dpf": lambda model, patterns, bench: DPF(ScorePruner(patterns=patterns, schedule=Cubic())),
    "dpp": lambda model, patterns, bench: DPP(
        model, patterns, init=LogitInit.MAGNITUDE, seed=bench.seed
    ),
    "dpp-random-init": lambda model, patterns, bench: DPP(model, patterns, seed=bench.seed),
    "spp": lambda model, patterns, bench: SPP.for_training(
        model, patterns, steps=_steps(bench), seed=bench.seed
    ),
    "admm": lambda model, patterns, bench: ADMM.for_training(model, patterns, steps=_steps(bench)),
}


def train_with(
    bench: DigitsBench, method: str, pattern: Pattern, **settings: Any
) -> Mapping[str, float]:
    """Prune every convolution but the first with one method.

    Returns
    -------
    dict of str to float
        Of the test images: loss and accuracy; and the share of kept weights that the masks by
        magnitude at the start do not keep.
    """
    model = bench.trained()
    patterns = all_convolutions_but_first(model, pattern)
    start = ScorePruner(patterns=patterns).masks(model)
    sparsifier = METHODS[method](model, patterns, bench)
    bench.fit(model, sparsifier=sparsifier, **settings)
    masks = sparsifier.masks(model)
    masks.apply_(model)
    return {**bench.judge(model), "moved": share_moved(start, masks)}


def share_moved(before: MaskSet, after: MaskSet) -> float:
    """Share of the weights kept afterwards that were not kept before."""
    moved = sum(int((after[name] & ~before[name]).sum()) for name in after)
    return moved / sum(int(after[name].sum()) for name in after)


TRIALS: Mapping[str, Trial] = {
    f"{method}-{name}{suffix}": partial(train_with, method=method, pattern=pattern, **settings)
    for name, pattern in PATTERNS.items()
    for suffix, settings in (("", {}), ("-sgd", SGD))
    for method in METHODS
}

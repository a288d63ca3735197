"""Pruning without training: reconstruction against magnitudes, inputs, and masks of its own."""

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.pruning.digits.bench import DigitsBench, Trial
from systolith.network import Granularity, KOutOfN, Pattern
from systolith.prune import (
    FilterBudget,
    FilterScore,
    ReconstructingPruner,
    ScorePruner,
    all_convolutions_but_first,
    find_channel_groups,
    macs_after,
    measure_batch_norms,
    measure_wanda,
    recalibrate_batch_norms_,
    reconstruct_consumers_,
    remove_filters,
    score_filters,
    select_filters,
)
from systolith.prune.posttraining import count_calls, measure_output_moments
from systolith.prune.posttraining.least_squares import damp, solve_kept

PATTERNS = {
    "2of8": Pattern(select=KOutOfN(2, 8)),
    "1of8": Pattern(select=KOutOfN(1, 8)),
    "kernels-2of8": Pattern(select=KOutOfN(2, 8, Granularity.KERNEL)),
}
METHODS = ("magnitude", "wanda", "random-least-squares", "magnitude-least-squares", "obs")
IMAGES, DAMPING = 512, 0.01
MACS = 0.3


def prune_weights(
    bench: DigitsBench, method: str, pattern: Pattern, *, recalibrate: bool
) -> Mapping[str, float]:
    """Prune every convolution but the first."""
    model, images = bench.trained(), bench.data.train_images[:IMAGES]
    patterns = all_convolutions_but_first(model, pattern)
    before = measure_batch_norms(model, images)
    generator = torch.Generator().manual_seed(bench.seed)
    match method:
        case "magnitude":
            ScorePruner(patterns=patterns).masks(model).apply_(model)
        case "wanda":
            score = measure_wanda(model, patterns, images)
            ScorePruner(patterns=patterns, score=score).masks(model).apply_(model)
        case "random-least-squares":
            pruner = ScorePruner(
                patterns=patterns,
                score=lambda name, weight: torch.rand(weight.shape, generator=generator),
            )
            _solve_(model, pruner, images)
        case "magnitude-least-squares":
            _solve_(model, ScorePruner(patterns=patterns), images)
        case "obs":
            ReconstructingPruner(patterns=patterns, images=images, damping=DAMPING).prune_(model)
        case _:
            raise ValueError(method)
    if recalibrate:
        recalibrate_batch_norms_(model, images, before)
    return bench.judge(model)


def _solve_(model: nn.Module, pruner: ScorePruner, images: Tensor) -> None:
    """Give masks the kept weights that reconstruction would give them, in place."""
    masks, dense = pruner.masks(model), _copy(model)
    for name, count in count_calls(model, pruner.patterns, images).items():
        moments = measure_output_moments(model, dense, {name: count}, images).without_bias(None)
        weight = model.get_submodule(name).get_parameter("weight")
        gram, mask = damp(moments.gram, DAMPING), masks[f"{name}.weight"].flatten(1)[None]
        wanted = torch.linalg.solve(gram, moments.cross.mT).mT
        with torch.no_grad():
            weight.copy_(solve_kept(wanted, gram, mask).reshape(weight.shape))


def _copy(model: nn.Module) -> nn.Module:
    copy = type(model)()
    copy.load_state_dict(model.state_dict())
    return copy.eval()


def prune_filters(bench: DigitsBench, *, reconstruct: bool, finetune: bool) -> Mapping[str, float]:
    """Remove the filters with the smallest L1 norms at once; perhaps train one epoch afterwards."""
    model, images = bench.trained(), bench.data.train_images[:IMAGES]
    groups = find_channel_groups(model, images)
    budget = FilterBudget(keep=MACS, cost=macs_after(model, groups, images))
    masks = select_filters(groups, score_filters(model, groups, FilterScore.L1), budget)
    before = {
        name: (mean[masks.channel_masks()[name]], variance[masks.channel_masks()[name]])
        for name, (mean, variance) in measure_batch_norms(model, images).items()
        if name in masks.channel_masks()
    }
    small = remove_filters(model, masks, images)
    if reconstruct:
        reconstruct_consumers_(small, model, masks, images)
    recalibrate_batch_norms_(small, images, before)
    if finetune:
        bench.fit(small, epochs=1)
    return bench.judge(small)


TRIALS: Mapping[str, Trial] = {
    **{
        f"{method}-{name}{'-recalibrated' if recalibrate else ''}": partial(
            prune_weights, method=method, pattern=pattern, recalibrate=recalibrate
        )
        for name, pattern in PATTERNS.items()
        for method in METHODS
        for recalibrate in (False, True)
    },
    **{
        f"filters{'-reconstructed' if reconstruct else ''}{'-one-epoch' if finetune else ''}": (
            partial(prune_filters, reconstruct=reconstruct, finetune=finetune)
        )
        for finetune in (False, True)
        for reconstruct in (False, True)
    },
}

"""Masked networks per second of the searches, relative to one forward pass after the other."""

import copy
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.pruning.workbench import Workbench
from systolith.prune import EvaluationSplit, find_channel_groups, gated, module_gates
from systolith.prune.search import (
    GateEvaluator,
    LayerEvaluator,
    LinearFilterEnsemble,
    sample_filter_masks,
)

NETWORK = "resnet20"
LAYERS = ("layer1.1.conv1", "layer2.1.conv1", "layer3.1.conv1")
IMAGES, BATCH = 64, 64
MASKS, ENSEMBLE = 16, 256
ROUNDS = 3
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "prefix": {"channels_last": False},
    "prefix, channels last": {},
    "prefix, channels last, bfloat16": {"dtype": torch.bfloat16},
}


def run(bench: Workbench) -> Mapping[str, Any]:
    """Take turns, so that what else the machine does hits all alike; medians of the ratios."""
    data, model = bench.data(NETWORK), bench.trained(NETWORK)
    images, labels = data.test_images[:IMAGES], data.test_labels[:IMAGES]
    splits = {
        name: EvaluationSplit(images=images, labels=labels, **settings)
        for name, settings in VARIANTS.items()
    }
    rows = {
        layer: _measure(_layer_searches(model, layer, images, labels, splits), MASKS)
        for layer in LAYERS
    }
    searches = _ensemble_searches(model, images, labels, splits)
    rows["ensemble"] = _measure(searches, ENSEMBLE)
    return {
        "network": NETWORK,
        "images": IMAGES,
        "rounds": ROUNDS,
        "dropped_units_per_mask": round((1 - LinearFilterEnsemble().share(1000)) * 1000),
        "rows": rows,
    }


def _measure(searches: Mapping[str, Callable[[], Tensor]], masks: int) -> Mapping[str, Any]:
    """Speed of each way, relative to the first, and agreement of its ranking with the first's."""
    times: dict[str, list[float]] = {name: [] for name in searches}
    losses: dict[str, Tensor] = {}
    for _ in range(ROUNDS):
        for name, search in searches.items():
            start = perf_counter()
            losses[name] = search()
            times[name].append(perf_counter() - start)
    plain = next(iter(searches))
    return {
        "masks": masks,
        "masks_per_second_plain": round(masks / median(times[plain]), 2),
        "speed": {
            name: round(median(t / own for t, own in zip(times[plain], taken, strict=True)), 2)
            for name, taken in times.items()
        },
        "rank_correlation": {
            name: round(_rank_correlation(losses[plain], value), 4)
            for name, value in losses.items()
        },
    }


def _layer_searches(
    model: nn.Module,
    layer: str,
    images: Tensor,
    labels: Tensor,
    splits: Mapping[str, EvaluationSplit],
) -> Mapping[str, Callable[[], Tensor]]:
    """Masks of half a layer's kernels, as a search by particles tries them."""
    weight = model.get_parameter(f"{layer}.weight")
    kernels = torch.rand(MASKS, *weight.shape[:2], generator=torch.Generator().manual_seed(0)) < 0.5
    masks = kernels[..., None, None].expand(-1, -1, -1, *weight.shape[2:])
    changed = copy.deepcopy(model)

    def one_by_one() -> Tensor:
        losses = []
        for mask in masks:
            changed.get_parameter(f"{layer}.weight").data.copy_(weight * mask)
            losses.append(_loss(changed, images, labels))
        return torch.stack(losses)

    evaluators = {name: LayerEvaluator(model, layer, split) for name, split in splits.items()}
    return {
        "one by one": one_by_one,
        **{
            name: lambda evaluator=evaluator: evaluator(masks)
            for name, evaluator in evaluators.items()
        },
    }


def _ensemble_searches(
    model: nn.Module, images: Tensor, labels: Tensor, splits: Mapping[str, EvaluationSplit]
) -> Mapping[str, Callable[[], Tensor]]:
    """Masks of an ensemble over all filters; recording the network counts."""
    groups = [group for group in find_channel_groups(model, images[:2]) if group.removable]
    kept = {group.name: torch.ones(group.size, dtype=torch.bool) for group in groups}
    share = LinearFilterEnsemble().share(sum(group.size for group in groups))
    masks = sample_filter_masks(kept, ENSEMBLE, share, torch.Generator().manual_seed(0))

    def one_by_one() -> Tensor:
        losses = []
        for number in range(ENSEMBLE):
            gates = {name: mask[number] for name, mask in masks.items()}
            with gated(model, module_gates(groups, gates)):
                losses.append(_loss(model, images, labels))
        return torch.stack(losses)

    return {
        "one by one": one_by_one,
        **{
            name: lambda split=split: GateEvaluator(model, groups, split)(masks)
            for name, split in splits.items()
        },
    }


@torch.no_grad()
def _loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    logits = torch.cat([model(batch) for batch in images.split(BATCH)])
    return F.cross_entropy(logits, labels).double()


def _rank_correlation(first: Tensor, second: Tensor) -> float:
    ranks = torch.stack([first.argsort().argsort(), second.argsort().argsort()]).double()
    return float(torch.corrcoef(ranks)[0, 1])

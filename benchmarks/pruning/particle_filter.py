"""Anwar et al. on their kind of network: feature maps, kernels and strided taps together."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import count as numbers
from typing import Any

import torch
from torch import nn

from benchmarks.pruning.workbench import Workbench
from systolith.data import Dataset, hold_out
from systolith.models import CifarVGG
from systolith.network import Granularity, KOutOfN
from systolith.prune import (
    EvaluationSplit,
    FilterMasks,
    FrozenFilters,
    FrozenMasks,
    LayerPlan,
    MaskSet,
    ParticleFilter,
    Sparsifier,
    count_costs,
    find_channel_groups,
    prune_by_particles,
    prune_feature_maps_by_particles,
    remove_filters,
)
from systolith.prune.search import SearchProgress
from systolith.train import evaluate

DENSE_EPOCHS, BETWEEN_EPOCHS, LAST_EPOCHS = 4, 2, 3
DECISIONS = 16
"""Stages of the searches. After each, a part of the images is trained on, all parts together for
BETWEEN_EPOCHS; the control trains for as many epochs in all, without a mask."""
HELD_OUT = 300
MAPS_KEPT, LANES = 0.8, 8
KERNELS = KOutOfN(3, 4, Granularity.KERNEL)
STRIDE = 2
SEARCH = ParticleFilter(particles=16, generations=3)


def run(bench: Workbench) -> Mapping[str, Any]:
    """Train, prune coarse to fine, retrain; the control trains for as long, unpruned."""
    data = bench.normalized
    common = {"learning_rate": 0.05, "warmup": 0.1, "weight_decay": 5e-4, "seed": 1}

    def accuracy(model: nn.Module) -> float:
        return evaluate(model, data.test_images, data.test_labels)

    def dense() -> Mapping[str, Any]:
        model = CifarVGG(seed=0)
        bench.fit(
            "vgg-dense",
            model,
            data,
            epochs=bench.epochs(DENSE_EPOCHS),
            **{**common, "learning_rate": 0.1, "warmup": 0.2, "seed": 0},
        )
        return {"weights": model.state_dict()}

    def control() -> Mapping[str, Any]:
        model = trained()
        epochs = bench.epochs(BETWEEN_EPOCHS) + bench.epochs(LAST_EPOCHS)
        bench.fit("vgg-control", model, data, epochs=epochs, **common)
        return {"accuracy": accuracy(model)}

    def trained() -> nn.Module:
        model = CifarVGG(seed=0)
        model.load_state_dict(bench.stage("vgg-dense", dense)["weights"])
        return model.eval()

    def search() -> Mapping[str, Any]:
        model = trained()
        held = hold_out(data, HELD_OUT, seed=0)
        number = numbers()
        part = BETWEEN_EPOCHS * len(data.train_images) // DECISIONS

        def between(model: nn.Module, sparsifier: Sparsifier) -> None:
            stage = next(number)
            some = _portion(held.dataset, part, seed=stage)
            settings = {**common, "learning_rate": 0.02}
            bench.fit(f"vgg-{stage}", model, some, epochs=1, sparsifier=sparsifier, **settings)
            model.eval()

        def between_maps(masks: FilterMasks) -> None:
            between(model, FrozenFilters(masks))

        def between_weights(masks: MaskSet) -> None:
            between(small, FrozenMasks(masks))

        split = EvaluationSplit(images=held.images, labels=held.labels, dtype=torch.bfloat16)
        groups = find_channel_groups(model, held.images[:2])
        keep = {
            group.name: LANES * round(group.size * MAPS_KEPT / LANES)
            for group in groups
            if group.removable and group.name != "fc1"
        }
        filters = prune_feature_maps_by_particles(
            model, split, keep, groups=groups, search=SEARCH, retrain=between_maps, report=_say
        )
        small = remove_filters(model, filters, held.images[:2])
        convolutions = [
            name for name, module in small.named_modules() if isinstance(module, nn.Conv2d)
        ]
        plan = {name: LayerPlan(select=KERNELS, stride=STRIDE) for name in convolutions[1:]}
        masks = prune_by_particles(
            small, split, plan, search=SEARCH, retrain=between_weights, report=_say
        )
        assert next(number) == DECISIONS
        return {"model": small, "masks": (dict(masks), dict(masks.patterns))}

    found = bench.stage("vgg-search", search)
    small, masks = found["model"], MaskSet(*found["masks"])
    pruned_only = accuracy(small)

    def retrain() -> Mapping[str, Any]:
        bench.fit(
            "vgg-retrain",
            small,
            data,
            epochs=bench.epochs(LAST_EPOCHS),
            sparsifier=FrozenMasks(masks),
            **common,
        )
        masks.apply_(small)
        return {"accuracy": accuracy(small)}

    images = data.train_images[:1]
    before, after = count_costs(CifarVGG(), images), count_costs(small, images)
    masked = {name.removesuffix(".weight"): float(m.double().mean()) for name, m in masks.items()}
    kept_macs = sum(c.macs * masked.get(name, 1.0) for name, c in after.layers.items())
    kept_weights = sum(
        module.weight.numel() * masked.get(name, 1.0) for name, module in _weighted(small)
    )
    all_weights = sum(module.weight.numel() for _, module in _weighted(CifarVGG()))
    retrained = bench.stage("vgg-retrain", retrain)["accuracy"]
    return {
        "network": "vgg",
        "method": "particle filter: feature maps, kernels, strided taps",
        "seed": 0,
        "epochs_dense": bench.epochs(DENSE_EPOCHS),
        "epochs_between": bench.epochs(BETWEEN_EPOCHS),
        "epochs_after": bench.epochs(LAST_EPOCHS),
        "epochs_control_after_dense": bench.epochs(BETWEEN_EPOCHS) + bench.epochs(LAST_EPOCHS),
        "maps_kept": MAPS_KEPT,
        "kernels": f"{KERNELS.k}-of-{KERNELS.n}",
        "stride": STRIDE,
        "particles": SEARCH.particles,
        "generations": SEARCH.generations,
        "images": HELD_OUT,
        "weights_kept": kept_weights / all_weights,
        "macs_kept": kept_macs / before.macs,
        "accuracy_dense": accuracy(trained()),
        "accuracy_control": bench.stage("vgg-control", control)["accuracy"],
        "accuracy_pruned_before_retraining": pruned_only,
        "accuracy": retrained,
        "seconds": dict(bench.seconds),
    }


def _weighted(model: nn.Module) -> list[tuple[str, nn.Conv2d | nn.Linear]]:
    """All layers with weights, the fully connected ones included."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]


def _portion(data: Dataset, count: int, seed: int) -> Dataset:
    """Some of the training images."""
    drawn = hold_out(data, count, seed)
    return replace(data, train_images=drawn.images, train_labels=drawn.labels)


def _say(report: SearchProgress) -> None:
    print(report, flush=True)

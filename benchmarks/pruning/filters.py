"""LFE, GDP and Torch-Pruning on ResNet-56: the same weights, MACs kept, epochs and seed."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.pruning.workbench import Workbench
from systolith.data import hold_out
from systolith.prune import (
    GDP,
    Budget,
    EvaluationSplit,
    FilterMasks,
    LinearFilterEnsemble,
    Loss,
    count,
    find_channel_groups,
    macs_after,
    prune_by_ensembles,
    remove_filters,
)
from systolith.train import evaluate

NETWORK = "resnet56"
KEPT_MACS = 0.36
SEARCH_EPOCHS = 1
FINETUNE_EPOCHS = 3
LEARNING_RATE = 0.05
HELD_OUT = 500
SEED = 0


def gdp(bench: Workbench) -> nn.Module:
    """One epoch in which masks change, then the filters are removed."""
    data, model = bench.data(NETWORK), bench.trained(NETWORK)
    images = data.train_images[:2]
    groups = find_channel_groups(model, images)
    budget = Budget(keep=KEPT_MACS, cost=macs_after(model, groups, images), floor=2)
    sparsifier = GDP(
        groups, budget, interval=25, begin=0.05, ramp_until=0.6, freeze_at=0.9, per_cost=True
    )
    bench.fit(
        "resnet56-gdp-search",
        model,
        data,
        epochs=bench.epochs(SEARCH_EPOCHS),
        learning_rate=LEARNING_RATE / 5,
        weight_decay=1e-4,
        sparsifier=sparsifier,
        seed=SEED,
    )
    return remove_filters(model, sparsifier.filters(model), images)


def lfe(bench: Workbench) -> nn.Module:
    """Score filters by masked networks on held-out training images, then remove them."""
    data, model = bench.data(NETWORK), bench.trained(NETWORK)
    held = hold_out(data, HELD_OUT, SEED)
    split = EvaluationSplit(
        images=held.images,
        labels=held.labels,
        loss=Loss.CROSS_ENTROPY,
        dtype=torch.bfloat16,
        channels_last=True,
    )
    groups = find_channel_groups(model, held.images[:2])
    budget = Budget(keep=KEPT_MACS, cost=macs_after(model, groups, held.images[:2]), floor=2)
    masks: FilterMasks = prune_by_ensembles(
        model,
        split,
        budget,
        groups=groups,
        rounds=1,
        ensemble=LinearFilterEnsemble(keep=0.9, per_unit=1.0, ridge=1.0),
        seed=SEED,
    )
    return remove_filters(model, masks, held.images[:2])


def torch_pruning(bench: Workbench) -> nn.Module:
    """Magnitude importance of groups, all layers by the same share, down to the same MACs."""
    import torch_pruning as tp  # type: ignore[import-not-found]  # for this comparison only

    images = bench.data(NETWORK).train_images[:2]
    dense = count(bench.trained(NETWORK), images).macs
    for ratio in (step / 200 for step in range(20, 190)):
        model = bench.trained(NETWORK)
        tp.pruner.BasePruner(
            model,
            images,
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            ignored_layers=[model.get_submodule("linear")],
        ).step()
        if count(model, images).macs <= KEPT_MACS * dense:
            for name, module in model.named_modules():
                if name.endswith("shortcut") and isinstance(module, nn.Conv2d):
                    module.weight.requires_grad_(False)
            return model
    raise ValueError("Torch-Pruning reaches no such share")


METHODS = {"gdp": gdp, "lfe": lfe, "torch-pruning": torch_pruning}


def run(method: str, bench: Workbench) -> Mapping[str, Any]:
    """Prune, fine-tune the smaller network; accuracy of the last epoch on all test images."""
    data, name = bench.data(NETWORK), f"{NETWORK}-{method}"
    dense = bench.trained(NETWORK)
    images: Tensor = data.train_images[:2]
    before = count(dense, images)

    small: nn.Module = bench.stage(name, lambda: {"model": METHODS[method](bench)})["model"]
    after = count(small, images)
    once = evaluate(small, data.test_images, data.test_labels)

    def finetune() -> Mapping[str, Any]:
        bench.fit(
            f"{name}-finetune",
            small,
            data,
            epochs=bench.epochs(FINETUNE_EPOCHS),
            learning_rate=LEARNING_RATE,
            warmup=0.05,
            weight_decay=1e-4,
            seed=SEED + 1,
        )
        return {"accuracy": evaluate(small, data.test_images, data.test_labels)}

    tuned = bench.stage(f"{name}-finetuned", finetune)["accuracy"]
    return {
        "network": NETWORK,
        "method": method,
        "seed": SEED,
        "epochs_search": bench.epochs(SEARCH_EPOCHS) if method == "gdp" else 0,
        "epochs_finetune": bench.epochs(FINETUNE_EPOCHS),
        "macs": before.macs,
        "macs_kept": after.macs / before.macs,
        "parameters": before.parameters,
        "parameters_kept": after.parameters / before.parameters,
        "accuracy_dense": evaluate(dense, data.test_images, data.test_labels),
        "accuracy_without_finetuning": once,
        "accuracy": tuned,
        "seconds": dict(bench.seconds),
    }

"""LFE, GDP and Torch-Pruning on ResNet-56: the same weights, limits, epochs and seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.pruning.workbench import Workbench
from systolith.data import hold_out
from systolith.prune import (
    GDP,
    ChannelGroup,
    EvaluationSplit,
    FilterBudget,
    FilterMasks,
    LinearFilterEnsemble,
    Loss,
    count_costs,
    find_channel_groups,
    macs_after,
    parameters_after,
    prune_by_ensembles,
    remove_filters,
)
from systolith.train import evaluate

NETWORK = "resnet56"
KEPT_MACS, KEPT_PARAMETERS = 0.36, 0.40
LANES = 4
EPOCHS = 4
"""In total; those in which masks change are a part of them."""
SEARCH_EPOCHS = {"gdp": 1}
LEARNING_RATE = 0.05
HELD_OUT = 500
SEED = 0


def gdp(bench: Workbench) -> nn.Module:
    """One epoch in which masks change, then the filters are removed."""
    data, model = bench.data(NETWORK), bench.trained(NETWORK)
    images = data.train_images[:2]
    groups = find_channel_groups(model, images)
    sparsifier = GDP(
        groups,
        _budget(model, groups, images),
        interval=25,
        begin=0.05,
        ramp_until=0.6,
        freeze_at=0.9,
    )
    bench.fit(
        "resnet56-gdp-search",
        model,
        data,
        epochs=bench.epochs(SEARCH_EPOCHS["gdp"]),
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
    budget = _budget(model, groups, held.images[:2])
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
    """Magnitude importance of groups, all layers by the same share, down to the same limits."""
    import torch_pruning as tp  # type: ignore[import-not-found]  # for this comparison only

    images = bench.data(NETWORK).train_images[:2]
    dense = count_costs(bench.trained(NETWORK), images)
    for ratio in (step / 200 for step in range(20, 190)):
        model = bench.trained(NETWORK)
        tp.pruner.BasePruner(
            model,
            images,
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=ratio,
            ignored_layers=[model.get_submodule("linear")],
        ).step()
        small = count_costs(model, images)
        if (
            small.macs <= KEPT_MACS * dense.macs
            and small.parameters <= KEPT_PARAMETERS * dense.parameters
        ):
            for name, module in model.named_modules():
                if name.endswith("shortcut") and isinstance(module, nn.Conv2d):
                    module.weight.requires_grad_(False)
            return model
    raise ValueError("Torch-Pruning reaches no such share")


def _budget(model: nn.Module, groups: Sequence[ChannelGroup], images: Tensor) -> FilterBudget:
    """Both limits at once: the cost is the larger used share of its limit."""
    macs, parameters = macs_after(model, groups, images), parameters_after(model, groups, images)
    most_macs, most_parameters = KEPT_MACS * macs({}), KEPT_PARAMETERS * parameters({})

    def cost(kept: Mapping[str, int]) -> float:
        return max(macs(kept) / most_macs, parameters(kept) / most_parameters)

    return FilterBudget(keep=1 / cost({}), cost=cost, floor=LANES, multiple_of=LANES)


METHODS = {"gdp": gdp, "lfe": lfe, "torch-pruning": torch_pruning}


def run(method: str, bench: Workbench) -> Mapping[str, Any]:
    """Prune, fine-tune the smaller network; accuracy of the last epoch on all test images."""
    data, name = bench.data(NETWORK), f"{NETWORK}-{method}"
    dense = bench.trained(NETWORK)
    images: Tensor = data.train_images[:2]
    before = count_costs(dense, images)

    small: nn.Module = bench.stage(name, lambda: {"model": METHODS[method](bench)})["model"]
    after = count_costs(small, images)
    once = evaluate(small, data.test_images, data.test_labels)
    searching = SEARCH_EPOCHS.get(method, 0)
    finetuning = bench.epochs(EPOCHS - searching)

    def finetune() -> Mapping[str, Any]:
        bench.fit(
            f"{name}-finetune",
            small,
            data,
            epochs=finetuning,
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
        "epochs_search": bench.epochs(searching) if searching else 0,
        "epochs_finetune": finetuning,
        "macs": before.macs,
        "macs_kept": after.macs / before.macs,
        "parameters": before.parameters,
        "parameters_kept": after.parameters / before.parameters,
        "accuracy_dense": evaluate(dense, data.test_images, data.test_labels),
        "accuracy_without_finetuning": once,
        "accuracy": tuned,
        "seconds": dict(bench.seconds),
    }

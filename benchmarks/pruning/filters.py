"""Filters of ResNet-56: the same weights, limits, lanes, epochs and seed for every method."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
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
    FilterScore,
    FilterSparsifier,
    FrozenFilters,
    LinearFilterEnsemble,
    TaylorGates,
    count_costs,
    find_channel_groups,
    macs_after,
    parameters_after,
    prune_by_ensembles,
    reconstruct_consumers_,
    remove_filters,
    score_filters,
    select_filters,
)
from systolith.train import evaluate
from systolith.train.checkpoint import save_state

NETWORK = "resnet56"
KEPT_MACS, KEPT_PARAMETERS = 0.36, 0.40
LANES = 4
"""Every method keeps a multiple of this number of filters in each layer."""
PRUNE_EPOCHS, FINAL_EPOCHS = 1, 2
"""Of every method; the dense network teaches in the final epochs. GDP and Taylor gates choose
filters in the first epoch; the other methods have removed them before, and train the smaller
network."""
INTERVAL, TAYLOR_BATCHES, TAYLOR_PER_ROUND = 15, 5, 50
LEARNING_RATE = 0.05
HELD_OUT, CALIBRATION = 250, 512
LFE_ROUNDS = 5
SEED = 0


def gdp(bench: Workbench) -> nn.Module:
    """Masks change during the first half of one epoch."""
    return _prune_while_training(
        bench, "gdp", lambda groups, budget: GDP(groups, budget, interval=INTERVAL)
    )


def taylor(bench: Workbench) -> nn.Module:
    """Filters leave during one epoch."""
    return _prune_while_training(
        bench,
        "taylor",
        lambda groups, budget: TaylorGates(
            groups, budget, batches=TAYLOR_BATCHES, per_round=TAYLOR_PER_ROUND
        ),
    )


def random(bench: Workbench) -> nn.Module:
    """Random filters of all layers, the ablation of every method."""
    model, images = bench.trained(NETWORK), bench.data(NETWORK).train_images[:2]
    groups = find_channel_groups(model, images)
    scores = score_filters(model, groups, FilterScore.RANDOM, seed=SEED)
    masks = select_filters(groups, scores, _budget(model, groups, images))
    return _train_once(bench, "random", remove_filters(model, masks, images))


def reconstructed(bench: Workbench) -> nn.Module:
    """The filters of least L1 norm leave, and least squares repairs the layers behind them."""
    model, images = bench.trained(NETWORK), bench.data(NETWORK).train_images[:CALIBRATION]
    groups = find_channel_groups(model, images[:2])
    scores = score_filters(model, groups, FilterScore.L1)
    masks = select_filters(groups, scores, _budget(model, groups, images[:2]))
    small = remove_filters(model, masks, images[:2])
    reconstruct_consumers_(small, model, masks, images)
    return _train_once(bench, "l1-reconstructed", small)


def _prune_while_training(
    bench: Workbench,
    method: str,
    make: Callable[[Sequence[ChannelGroup], FilterBudget], FilterSparsifier],
) -> nn.Module:
    model, images = bench.trained(NETWORK), bench.data(NETWORK).train_images[:2]
    groups = find_channel_groups(model, images)
    sparsifier = make(groups, _budget(model, groups, images))
    _train_once(bench, method, model, sparsifier)
    return remove_filters(model, sparsifier.filters(model), images)


def _train_once(
    bench: Workbench, method: str, model: nn.Module, sparsifier: FilterSparsifier | None = None
) -> nn.Module:
    """Train for the first epochs, in place."""
    bench.fit(
        f"{NETWORK}-{method}-prune",
        model,
        bench.data(NETWORK),
        epochs=bench.epochs(PRUNE_EPOCHS),
        learning_rate=LEARNING_RATE / 5,
        weight_decay=1e-4,
        sparsifier=sparsifier,
        seed=SEED,
    )
    return model


def lfe(bench: Workbench) -> nn.Module:
    """Remove filters in rounds; between them, train on parts of the images, one epoch in all."""
    data, model = bench.data(NETWORK), bench.trained(NETWORK)
    held = hold_out(data, HELD_OUT, SEED)
    split = EvaluationSplit(images=held.images, labels=held.labels, dtype=torch.bfloat16)
    groups = find_channel_groups(model, held.images[:2])
    path = bench.folder / f"{NETWORK}-lfe.rounds"
    state = torch.load(path) if path.exists() else None
    numbers = count(1 if state is None else state["round"] + 1)

    def retrain(masks: FilterMasks) -> None:
        if (number := next(numbers)) == LFE_ROUNDS:
            return  # the rest of the training is that of the smaller network
        some = hold_out(data, len(data.train_images) // (LFE_ROUNDS - 1), SEED + number)
        bench.fit(
            f"{NETWORK}-lfe-round-{number}",
            model,
            replace(data, train_images=some.images, train_labels=some.labels),
            epochs=bench.epochs(PRUNE_EPOCHS),
            learning_rate=LEARNING_RATE / 5,
            weight_decay=1e-4,
            sparsifier=FrozenFilters(masks),
            seed=SEED + number,
        )

    masks: FilterMasks = prune_by_ensembles(
        model,
        split,
        _budget(model, groups, held.images[:2]),
        groups=groups,
        rounds=LFE_ROUNDS,
        ensemble=LinearFilterEnsemble(per_unit=3.0),
        seed=SEED,
        retrain=retrain,
        report=lambda progress: print(progress, flush=True),
        save=lambda state: save_state(state, path),
        state=state,
    )
    return remove_filters(model, masks, held.images[:2])


def torch_pruning(bench: Workbench) -> nn.Module:
    """Its magnitude importance of groups, per layer: the same share of each, rounded to lanes."""
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
            global_pruning=False,
            round_to=LANES,
        ).step()
        small = count_costs(model, images)
        if (
            small.macs <= KEPT_MACS * dense.macs
            and small.parameters <= KEPT_PARAMETERS * dense.parameters
        ):
            for name, module in model.named_modules():
                if name.endswith("shortcut") and isinstance(module, nn.Conv2d):
                    module.weight.requires_grad_(False)
            return _train_once(bench, "torch-pruning", model)
    raise ValueError("Torch-Pruning reaches no such share")


def _budget(model: nn.Module, groups: Sequence[ChannelGroup], images: Tensor) -> FilterBudget:
    return FilterBudget(
        keep=(KEPT_MACS, KEPT_PARAMETERS),
        cost=(macs_after(model, groups, images), parameters_after(model, groups, images)),
        min_filters=LANES,
        multiple_of=LANES,
    )


METHODS = {
    "gdp": gdp,
    "taylor": taylor,
    "lfe": lfe,
    "random": random,
    "l1-reconstructed": reconstructed,
    "torch-pruning": torch_pruning,
}


def run(method: str, bench: Workbench) -> Mapping[str, Any]:
    """Prune, fine-tune the smaller network; accuracy of the last epoch on all test images."""
    data, name = bench.data(NETWORK), f"{NETWORK}-{method}"
    dense = bench.trained(NETWORK)
    images: Tensor = data.train_images[:2]
    before = count_costs(dense, images)

    small: nn.Module = bench.stage(name, lambda: {"model": METHODS[method](bench)})["model"]
    after = count_costs(small, images)
    once = evaluate(small, data.test_images, data.test_labels)
    finetuning = bench.epochs(FINAL_EPOCHS)

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
            teacher=bench.teacher(NETWORK, NETWORK),
        )
        return {"accuracy": evaluate(small, data.test_images, data.test_labels)}

    tuned = bench.stage(f"{name}-finetuned", finetune)["accuracy"]
    return {
        "network": NETWORK,
        "method": method,
        "seed": SEED,
        "teacher": NETWORK,
        "epochs_search": bench.epochs(PRUNE_EPOCHS),
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

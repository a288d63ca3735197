"""Time of a training step with each method on, relative to plain training; all in one run."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.pruning.workbench import Workbench
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    DPP,
    GDP,
    SRSTE,
    FilterBudget,
    LogitInit,
    ScorePruner,
    Sparsifier,
    all_convolutions_but_first,
    find_channel_groups,
)

NETWORK, BATCH = "resnet20", 128
ROUNDS, STEPS = 7, 4


def run(bench: Workbench) -> Mapping[str, Any]:
    """Take turns, so that what else the machine does hits all alike; medians of the ratios."""
    data = bench.data(NETWORK)
    images = data.train_images[:BATCH].contiguous(memory_format=torch.channels_last)
    labels = data.train_labels[:BATCH]
    steps = {name: _step(bench, make, images, labels) for name, make in METHODS.items()}
    for step in steps.values():
        step(0.2)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            start = perf_counter()
            for _ in range(STEPS):
                step(0.3)
            times[name].append((perf_counter() - start) / STEPS)
    ratios = {
        name: median(t / plain for t, plain in zip(found, times["plain"], strict=True))
        for name, found in times.items()
    }
    return {
        "network": NETWORK,
        "batch": BATCH,
        "precision": "bfloat16, channels last",
        "rounds": ROUNDS,
        "steps_per_round": STEPS,
        "seconds_plain_median": median(times["plain"]),
        "ratio": {name: round(ratio, 3) for name, ratio in ratios.items()},
    }


def _patterns(model: nn.Module) -> dict[str, Pattern]:
    return all_convolutions_but_first(model, Pattern(select=KOutOfN(1, 4)))


def _gdp(model: nn.Module) -> Sparsifier:
    groups = find_channel_groups(model, torch.zeros(2, 3, 32, 32))
    return GDP(groups, FilterBudget(keep=0.7), interval=2, begin=0.0, freeze_at=1.0)


METHODS: Mapping[str, Callable[[nn.Module], Sparsifier | None]] = {
    "plain": lambda model: None,
    "sr-ste": lambda model: SRSTE(ScorePruner(patterns=_patterns(model))),
    "dpp": lambda model: DPP(model, _patterns(model), init=LogitInit.MAGNITUDE),
    "gdp": _gdp,
}


def _step(
    bench: Workbench, make: Callable[[nn.Module], Sparsifier | None], images: Tensor, labels: Tensor
) -> Callable[[float], None]:
    model = bench.trained(NETWORK).train().to(memory_format=torch.channels_last)
    sparsifier = make(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9)

    def step(progress: float) -> None:
        optimizer.zero_grad()
        with nullcontext() if sparsifier is None else sparsifier.step(model, progress):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(images)
            torch.autograd.backward(F.cross_entropy(logits.float(), labels))
        optimizer.step()

    return step

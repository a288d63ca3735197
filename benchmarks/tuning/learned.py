"""Patterns learned for a budget of cycles, against those chosen by magnitude and uniform ones.

The digits network of ``examples/digits.toml``; for each seed, from the same trained weights, at
equal epochs and for the same budget: the cycles of a uniform pattern. ``retrained`` starts anew
with the patterns that were learned, and so took the epochs of both.
"""

import argparse
import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.results import write_result
from systolith.compress import Trainer
from systolith.data import Dataset, load_digits
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    DPP,
    LearnedPatterns,
    LogitInit,
    PatternCost,
    WeightSparsifier,
    allocate_patterns,
    magnitude_losses,
    prunable_layers,
    weight_cost,
)
from systolith.stages.cycle_costs import CycleCost
from systolith.train import Recipe, evaluate, train_float

RESULT = Path(__file__).parent / "results" / "learned.json"
MULTIPLIERS = 64
GROUP, KEPT = 16, (8, 6, 4, 3, 2, 1)
UNIFORM = (2, 3)
"""k of the uniform patterns whose cycles are the budgets."""
WAYS = ("learned", "retrained", "magnitude", "uniform")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning.learned")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20, help="of pruning")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Mapping[str, Any]] = []
    for seed in range(arguments.seeds):
        for row in measure(Recipe(seed=seed, prune_epochs=arguments.epochs)):
            rows.append(row)
            print(row, flush=True)
    medians = list(summary(rows))
    print(*table_rows(medians), sep="\n", flush=True)
    write_result(
        RESULT,
        f"python -m benchmarks.tuning.learned --seeds {arguments.seeds} "
        f"--epochs {arguments.epochs}",
        {
            "network": "DigitsCNN",
            "multipliers": MULTIPLIERS,
            "candidates": ["dense", *(f"{k}-out-of-{GROUP}" for k in KEPT)],
            "epochs": arguments.epochs,
            "median": medians,
            "runs": rows,
        },
    )


def measure(recipe: Recipe) -> Iterator[Mapping[str, Any]]:
    """Train a network, then prune copies of it in every way for every budget."""
    data, dense = load_digits(recipe.seed), DigitsCNN(seed=recipe.seed)
    train_float(dense, data, recipe)
    images = data.train_images[:1]
    layers = list(prunable_layers(dense))[1:]
    candidates = {name: [Pattern(select=KOutOfN(k, GROUP)) for k in KEPT] for name in layers}
    cost, macs = CycleCost(dense, images, MULTIPLIERS), weight_cost(dense, images, macs=True)
    for kept in UNIFORM:
        uniform = dict.fromkeys(layers, Pattern(select=KOutOfN(kept, GROUP)))
        budget = cost(uniform)
        losses = magnitude_losses(dense, candidates)
        patterns = {"magnitude": allocate_patterns(losses, cost, budget), "uniform": uniform}
        for way in WAYS:
            model = copy.deepcopy(dense)
            sparsifier: WeightSparsifier
            if way == "learned":
                learned = sparsifier = LearnedPatterns(
                    model, candidates, cost=cost, budget=budget, slope=macs, seed=recipe.seed
                )
            else:
                init = LogitInit.MAGNITUDE
                sparsifier = DPP(model, patterns[way], init=init, seed=recipe.seed)
            start = perf_counter()
            Trainer(data=data, recipe=recipe).fit(model, "prune", sparsifier)
            sparsifier.masks(model).apply_(model)
            seconds = perf_counter() - start
            if way == "learned":
                patterns[way] = patterns["retrained"] = learned.patterns()
            yield {
                "seed": recipe.seed,
                "budget": budget,
                "way": way,
                "seconds": round(seconds, 1),
                **judge_patterns(model, data, patterns[way], cost),
            }


def judge_patterns(
    model: nn.Module, data: Dataset, patterns: Mapping[str, Pattern], cost: PatternCost
) -> Mapping[str, Any]:
    """Judge a trained network by the test images."""
    with torch.no_grad():
        loss = float(F.cross_entropy(model(data.test_images), data.test_labels))
    return {
        "cycles": cost(patterns),
        "accuracy": evaluate(model, data.test_images, data.test_labels),
        "test_loss": loss,
        "patterns": {name: str(pattern) for name, pattern in patterns.items()},
    }


def summary(rows: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Medians over seeds."""
    for budget in sorted({row["budget"] for row in rows}):
        for way in WAYS:
            group = [row for row in rows if (row["budget"], row["way"]) == (budget, way)]
            keys = ("cycles", "accuracy", "test_loss", "seconds")
            yield {
                "budget": budget,
                "way": way,
                **{key: median(row[key] for row in group) for key in keys},
            }


def table_rows(medians: list[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of the table of medians."""
    yield "| budget, cycles | patterns | cycles | accuracy | test loss | seconds |"
    yield "|---|---|---|---|---|---|"
    for row in medians:
        yield (
            f"| {row['budget']:,.0f} | {row['way']} | {row['cycles']:,.0f} | "
            f"{row['accuracy']:.2%} | {row['test_loss']:.4f} | {row['seconds']:.1f} |"
        )


if __name__ == "__main__":
    main()

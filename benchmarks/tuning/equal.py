"""The search for k per layer against k learned by gradients, for equal compute.

python -m benchmarks.tuning.equal

The digits network, the candidates and the budgets of cycles of ``benchmarks/tuning/learned.py``.
All ways begin from the same dense weights, trained without the images that the search judges by,
and take the optimizer steps of the given number of epochs on all training images:

* ``searched``: ``systolith.tune`` has the steps that are left when its best point is trained anew;
  sensitivity, masks without training and short trainings all count;
* ``learned``: patterns and masks together, in one training;
* ``retrained``: learned in the steps that the search has, then trained anew with what was learned;
* ``magnitude``: patterns chosen by magnitude cost nothing, all steps train with them.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.results import write_result
from benchmarks.tuning.learned import GROUP, KEPT, MULTIPLIERS, UNIFORM, judge_patterns
from systolith.compress import Trainer
from systolith.config import check_experiment
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
from systolith.train import Recipe, train_float
from systolith.tune import DesignSpace, Study, Workers
from systolith.tune.measuring import epochs_at, load_judged_data
from systolith.tune.surrogate import list_single_changes

RESULT = Path(__file__).parent / "results" / "equal.json"
WAYS = ("magnitude", "learned", "retrained", "searched")
CLOCK_MHZ = 100.0
FORWARD = 1 / 3
"""Cost of a mini-batch that is evaluated but not trained on, in optimizer steps."""


def content_of(seed: int, epochs: int, cycles: float) -> dict[str, Any]:
    """Return the experiment: k out of 16 for each layer, in at most `cycles` cycles."""
    patterns = [{"k": kept, "n": GROUP} for kept in KEPT]
    return {
        "name": "equal",
        "seed": seed,
        "model": {"factory": "digits_cnn"},
        "data": {"factory": "digits"},
        "train": {"prune_epochs": epochs, "quantize_epochs": 0},
        "hardware": {
            "multipliers": MULTIPLIERS,
            "clock_mhz": CLOCK_MHZ,
            "target_fps": CLOCK_MHZ * 1e6 / (cycles + 0.5),
        },
        "tune": {
            "objectives": ["accuracy"],
            "batch": 4,
            "candidates": 4,
            "seed": seed,
            "warm_start": False,
            "methods": ["dpp"],
            "layers": [{"layers": "conv[23]|fc", "each": True, "patterns": patterns}],
        },
    }


def steps_of(data: Dataset, epochs: int, batch: int = 64) -> int:
    """Count the optimizer steps of `epochs` epochs."""
    return epochs * ceil(len(data.train_labels) / batch)


@dataclass(frozen=True)
class Costs:
    """What a search costs, in optimizer steps."""

    space: DesignSpace
    data: Dataset

    def measurement(self, fidelity: float) -> float:
        """Cost of training for a share of the epochs, of calibration, and of judging."""
        train = self.space.experiment.train
        data = self.data
        looked_at = len(data.calibration_images) + len(data.test_labels)
        trained = steps_of(data, epochs_at(train.prune_epochs, fidelity), train.batch_size)
        return trained + FORWARD * ceil(looked_at / train.batch_size)

    @property
    def sensitivity(self) -> float:
        """Each option alone, without training."""
        _, others = list_single_changes(self.space)
        return (1 + len(others)) * self.measurement(0.0)

    def points(self, steps: float) -> int:
        """How many points can be trained to the end."""
        rounds = self.space.section.fidelities
        last = len(rounds) - 1
        each = sum(self.measurement(f) * (1 << (last - level)) for level, f in enumerate(rounds))
        return int((steps - self.sensitivity) / each)

    def spent(self, study: Study) -> float:
        """Cost of a study; measurements that were requested twice count once."""
        measured: dict[str, float] = {}
        for trial in study.trials.of():
            keys = trial.user_attrs.get("keys", [])
            measured.update(zip(keys, self.space.section.fidelities, strict=False))
        return self.sensitivity + sum(self.measurement(each) for each in measured.values())


def search(
    content: Mapping[str, Any], steps: float, folder: Path, workers: Workers
) -> tuple[dict[str, Pattern], dict[str, Any]]:
    """Search for patterns within `steps` in a folder with a dense model; also return the cost."""
    experiment = check_experiment(content, folder / "equal.toml")
    assert experiment.tune is not None
    costs = Costs(DesignSpace.of(experiment, DigitsCNN()), load_judged_data(experiment, folder))
    tune = experiment.tune.model_copy(update={"points": costs.points(steps)})
    start = perf_counter()
    study = Study(
        content,
        experiment.model_copy(update={"tune": tune}),
        folder,
        folder,
        workers,
        storage="sqlite:///:memory:",
    )
    study.run()
    best = max(study.designs.front(study.designs.all()), key=lambda each: each.values.accuracy)
    patterns = {}
    for group in study.space.groups:
        pattern = group.pattern(best.point)
        assert isinstance(pattern, Pattern)
        patterns.update({} if pattern.is_dense else dict.fromkeys(group.layers, pattern))
    return patterns, {
        "search_steps": round(costs.spent(study)),
        "points": len(study.trials.complete),
        "judged": best.values.accuracy,
        "seconds": perf_counter() - start,
    }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All ways for one seed.

    Attributes
    ----------
    recipe : Recipe
    epochs, total : int
        Of the last training where patterns were found before, and of all a way may take.
    weights : Path
        Of the dense model, in a folder that searches get a copy of.
    """

    recipe: Recipe
    epochs: int
    total: int
    weights: Path

    def rows(self, workers: Workers) -> Iterator[Mapping[str, Any]]:
        """Train in each way for each budget."""
        seed, data = self.recipe.seed, load_digits(self.recipe.seed)
        dense = self.dense()
        layers = list(prunable_layers(dense))[1:]
        cost = CycleCost(dense, data.train_images[:1], MULTIPLIERS)
        last = steps_of(data, self.epochs)
        for kept in UNIFORM:
            budget = cost(dict.fromkeys(layers, Pattern(select=KOutOfN(kept, GROUP))))
            for way in WAYS:
                start, took = perf_counter(), {}
                if way == "searched":
                    with tempfile.TemporaryDirectory() as scratch:
                        folder = Path(scratch)
                        shutil.copytree(self.weights.parent, folder / "dense")
                        content = content_of(seed, self.epochs, budget)
                        left = steps_of(data, self.total) - last
                        patterns, took = search(content, left, folder, workers)
                    model, steps = self.trained(data, patterns, self.epochs), last
                    steps += took["search_steps"]
                else:
                    model, patterns = self.without_search(way, data, cost, budget)
                    steps = steps_of(data, self.total)
                yield {
                    "seed": seed,
                    "budget": budget,
                    "way": way,
                    **took,
                    "steps": steps,
                    "seconds": round(perf_counter() - start, 1),
                    **judge_patterns(model, data, patterns, cost),
                }

    def without_search(
        self, way: str, data: Dataset, cost: PatternCost, budget: float
    ) -> tuple[DigitsCNN, Mapping[str, Pattern]]:
        """Choose by magnitude or by gradients, and train."""
        model = self.dense()
        layers = list(prunable_layers(model))[1:]
        candidates = {name: [Pattern(select=KOutOfN(k, GROUP)) for k in KEPT] for name in layers}
        if way == "magnitude":
            patterns = allocate_patterns(magnitude_losses(model, candidates), cost, budget)
            return self.trained(data, patterns, self.total), patterns
        learned = LearnedPatterns(
            model,
            candidates,
            cost=cost,
            budget=budget,
            slope=weight_cost(model, data.train_images[:1], macs=True),
            seed=self.recipe.seed,
        )
        if way == "learned":
            self.train(model, data, learned, self.total)
            return model, learned.patterns()
        self.train(model, data, learned, self.total - self.epochs)
        return self.trained(data, learned.patterns(), self.epochs), learned.patterns()

    def trained(self, data: Dataset, patterns: Mapping[str, Pattern], epochs: int) -> DigitsCNN:
        """Train with patterns that are given."""
        model = self.dense()
        sparsifier = DPP(model, patterns, init=LogitInit.MAGNITUDE, seed=self.recipe.seed)
        self.train(model, data, sparsifier, epochs)
        return model

    def train(
        self, model: DigitsCNN, data: Dataset, sparsifier: WeightSparsifier, epochs: int
    ) -> None:
        """Prune while training."""
        recipe = Recipe(seed=self.recipe.seed, prune_epochs=epochs)
        Trainer(data=data, recipe=recipe).fit(model, "prune", sparsifier)
        sparsifier.masks(model).apply_(model)

    def dense(self) -> DigitsCNN:
        """Give a copy of the dense model that all ways begin from."""
        model = DigitsCNN(seed=self.recipe.seed)
        model.load_state_dict(load_file(self.weights))
        return model.eval()


def train_dense(recipe: Recipe, path: Path) -> None:
    """Train the dense model, without the images that the search holds out."""
    experiment = check_experiment(content_of(recipe.seed, 1, 1e6), path)
    model = DigitsCNN(seed=recipe.seed)
    train_float(model, load_judged_data(experiment, path.parent), recipe)
    path.parent.mkdir(parents=True)
    save_file(model.state_dict(), path)


def summary(rows: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Medians over seeds."""
    for budget in sorted({row["budget"] for row in rows}):
        for way in WAYS:
            found = [row for row in rows if (row["budget"], row["way"]) == (budget, way)]
            keys = ("steps", "cycles", "accuracy", "test_loss")
            if found:
                medians = {key: median(row[key] for row in found) for key in keys}
                yield {"budget": budget, "way": way, "seeds": len(found), **medians}


def table_rows(medians: list[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of the table of medians."""
    yield "| budget, cycles | patterns | seeds | steps | cycles | accuracy | test loss |"
    yield "|---|---|---|---|---|---|---|"
    for row in medians:
        yield (
            f"| {row['budget']:,.0f} | {row['way']} | {row['seeds']} "
            f"| {row['steps']:,.0f} | {row['cycles']:,.0f} | "
            f"{row['accuracy']:.2%} | {row['test_loss']:.4f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning.equal")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=20, help="of the last training")
    parser.add_argument("--total", type=int, default=60, help="epochs that each way may take")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[Mapping[str, Any]] = []
    with Workers(1, seconds=600) as workers, tempfile.TemporaryDirectory() as scratch:
        for seed in range(arguments.seeds):
            recipe = Recipe(seed=seed)
            weights = Path(scratch) / str(seed) / "weights.safetensors"
            train_dense(recipe, weights)
            comparison = Comparison(
                recipe=recipe, epochs=arguments.epochs, total=arguments.total, weights=weights
            )
            for row in comparison.rows(workers):
                rows.append(row)
                print(row, flush=True)
            write(rows, arguments)
    print(*table_rows(list(summary(rows))), sep="\n")


def write(rows: list[Mapping[str, Any]], arguments: argparse.Namespace) -> None:
    """Write what the seeds so far have found."""
    seeds = len({row["seed"] for row in rows})
    write_result(
        RESULT,
        f"python -m benchmarks.tuning.equal --seeds {seeds} "
        f"--epochs {arguments.epochs} --total {arguments.total}",
        {
            "network": "DigitsCNN",
            "multipliers": MULTIPLIERS,
            "candidates": ["dense", *(f"{k}-out-of-{GROUP}" for k in KEPT)],
            "seeds": seeds,
            "median": list(summary(rows)),
            "runs": rows,
        },
    )


if __name__ == "__main__":
    main()

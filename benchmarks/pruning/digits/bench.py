"""What every experiment on digits shares: data, trained weights, one way to train and to judge."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, stdev
from time import process_time
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from systolith.data import Dataset, load_digits
from systolith.models import DigitsCNN
from systolith.trace import evaluating
from systolith.train import evaluate, fit

__all__ = ["DigitsBench", "Trial", "run_trials"]

FLOAT_EPOCHS, EPOCHS = 30, 12
SEEDS = (0, 1, 2)


@dataclass(kw_only=True)
class DigitsBench:
    """Data, and trained weights, for one seed of everything: split, weights, order, masks."""

    seed: int

    @cached_property
    def data(self) -> Dataset:
        return load_digits(self.seed)

    @cached_property
    def _weights(self) -> Mapping[str, Tensor]:
        model = DigitsCNN(self.seed)
        fit(model, self.data, epochs=FLOAT_EPOCHS, seed=self.seed)
        return model.state_dict()

    def trained(self) -> DigitsCNN:
        """Make a dense network, trained for 30 epochs; all trials of a seed start from it."""
        model = DigitsCNN(self.seed)
        model.load_state_dict(self._weights)
        return model.eval()

    def fit(self, model: nn.Module, **settings: Any) -> None:
        """Train as all trials train: 12 epochs of AdamW, unless `settings` say otherwise."""
        shared = {"epochs": EPOCHS, "learning_rate": 1.5e-3, "seed": self.seed + 1}
        fit(model, self.data, **{**shared, **settings})

    def judge(self, model: nn.Module) -> dict[str, float]:
        """Loss and accuracy on the test images."""
        images, labels = self.data.test_images, self.data.test_labels
        with evaluating(model):
            loss = float(F.cross_entropy(model(images), labels))
        return {"test_loss": loss, "accuracy": evaluate(model, images, labels)}


Trial = Callable[[DigitsBench], Mapping[str, float]]
"""Prunes a trained network and judges it: numbers by name, the same names for every seed."""


def run_trials(
    trials: Mapping[str, Trial], seeds: Sequence[int] = SEEDS
) -> dict[str, dict[str, Any]]:
    """Run every trial with every seed.

    Returns
    -------
    dict of str to dict
        By trial: mean and standard error of each number, each seed's value, and processor seconds.
    """
    rows: dict[str, list[Mapping[str, float]]] = {name: [] for name in trials}
    for seed in seeds:
        bench = DigitsBench(seed=seed)
        bench.trained()
        for name, trial in trials.items():
            start = process_time()
            row = {**trial(bench), "seconds": process_time() - start}
            print(f"seed {seed}, {name}: {row}", flush=True)
            rows[name].append(row)
    return {name: _summarize(values) for name, values in rows.items()}


def _summarize(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    summary: dict[str, Any] = {}
    for number in rows[0]:
        values = [row[number] for row in rows]
        error = stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
        summary[number] = {"mean": mean(values), "standard_error": error, "seeds": values}
    return summary

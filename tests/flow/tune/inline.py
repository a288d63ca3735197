"""A tiny study, and workers that run all tasks in this process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from systolith.config import check_experiment, merge_tables
from systolith.data import Dataset
from systolith.tune import Study
from systolith.tune.workers import EXPECTED, FailedTask

CONTENT: dict[str, Any] = {
    "name": "tiny",
    "model": {"factory": "tests.flow.tune.inline:tiny_model"},
    "data": {"factory": "tests.flow.tune.inline:tiny_data"},
    "train": {"float_epochs": 2, "prune_epochs": 2, "quantize_epochs": 1, "batch_size": 32},
    "hardware": {"device": "ecp5-25f"},
    "tune": {
        "objectives": ["accuracy", "fps", "luts"],
        "points": 6,
        "batch": 3,
        "candidates": 3,
        "fidelities": [0.0, 0.5],
        "layers": [
            {
                "layers": "[02]",
                "each": True,
                "patterns": [{"k": 2, "n": 4}, {"k": 1, "n": 4}],
                "weight_bits": [8, 4],
            },
            {"layers": "6", "weight_bits": [8, 4]},
        ],
        "hardware": {"multipliers": [4, 8]},
    },
}


def tiny_model() -> nn.Module:
    """Two convolutions and a classifier, for images of 8 x 8."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=True),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


def tiny_data() -> Dataset:
    """Four kinds of bright quarters, with noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(160) % 4
    images = 0.6 * torch.rand(160, 1, 8, 8, generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        row, column = divmod(label, 2)
        image[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.3
    images = images.clamp(max=1.0)
    return Dataset(
        name="quarters",
        train_images=images[:120],
        train_labels=labels[:120],
        test_images=images[120:],
        test_labels=labels[120:],
    )


class Inline:
    """Workers that run tasks in this process.

    `broken`, if given, is called with the number of each task, counted over all runs, before it is
    done; what it raises ends the run, as if the whole program had been ended.
    """

    def __init__(self, broken: Callable[[int], None] | None = None) -> None:
        self.broken, self.count = broken, 0

    def run(
        self, function: Callable[[Any], Any], tasks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        for number, task in enumerate(tasks):
            if self.broken is not None:
                self.broken(self.count)
            self.count += 1
            try:
                yield number, function(task)
            except EXPECTED as error:
                yield number, FailedTask(reason=str(error))


def make_study(folder: Path, workers: Any, changes: Mapping[str, Any] | None = None) -> Study:
    """Make the tiny study in a folder."""
    content = merge_tables(CONTENT, changes or {})
    experiment = check_experiment(content, folder / "tiny.toml")
    return Study(content, experiment, folder, folder, workers)

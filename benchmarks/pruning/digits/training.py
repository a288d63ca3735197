"""Teachers, averages, label smoothing and augmentation: small, pruned and quantized students."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.pruning.digits.bench import DigitsBench, Trial
from systolith.data import Cutout, MixUp, shift_images
from systolith.network import KOutOfN, Pattern
from systolith.prune import SRSTE, ScorePruner, all_convolutions_but_first
from systolith.quant import QuantConfig, prepare
from systolith.train import CrossEntropy, Teacher

SMALL_EPOCHS = 30

Settings = Callable[[DigitsBench], Mapping[str, Any]]
"""Arguments of training that a trial adds."""

SETTINGS: Mapping[str, Settings] = {
    "plain": lambda bench: {},
    "taught": lambda bench: {"teacher": Teacher(bench.trained())},
    "averaged": lambda bench: {"ema": 0.99},
    "smoothed": lambda bench: {"objective": CrossEntropy(label_smoothing=0.1)},
    "shift": lambda bench: {"augment": shift_images},
    "shift-taught": lambda bench: {
        "augment": shift_images,
        "teacher": Teacher(bench.trained()),
    },
    "cutout": lambda bench: {"augment": Cutout(size=3)},
    "mixup": lambda bench: {"augment": MixUp()},
}


def train_small(bench: DigitsBench, settings: Settings) -> Mapping[str, float]:
    """Train a network with a tenth of the weights from its start; the large one teaches."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(bench.seed)
        model = nn.Sequential(
            *(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
            *(nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            nn.MaxPool2d(2),
            *(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            *(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32, 10)),
        )
    bench.fit(model, epochs=SMALL_EPOCHS, learning_rate=3e-3, **settings(bench))
    return bench.judge(model)


def train_pruned(bench: DigitsBench, settings: Settings) -> Mapping[str, float]:
    """Prune 1-of-16 with SR-STE; the dense network teaches."""
    model = bench.trained()
    patterns = all_convolutions_but_first(model, Pattern(select=KOutOfN(1, 16)))
    sparsifier = SRSTE(ScorePruner(patterns=patterns))
    bench.fit(model, sparsifier=sparsifier, **settings(bench))
    sparsifier.masks(model).apply_(model)
    return bench.judge(model)


def train_quantized(bench: DigitsBench, settings: Settings) -> Mapping[str, float]:
    """Train 2-bit weights and activations; the float network teaches."""
    bits = QuantConfig(weight_bits=2, act_bits=2)
    model = prepare(bench.trained(), bench.data.calibration_images, bits)
    bench.fit(model, weight_decay=0.0, **settings(bench))
    return bench.judge(model)


TRIALS: Mapping[str, Trial] = {
    **{f"small-{name}": partial(train_small, settings=given) for name, given in SETTINGS.items()},
    **{
        f"{student}-{name}": partial(train, settings=SETTINGS[name])
        for student, train in (("1of16", train_pruned), ("w2a2", train_quantized))
        for name in ("plain", "taught", "averaged")
    },
}

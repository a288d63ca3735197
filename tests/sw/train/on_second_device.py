"""Train, prune and quantize on the CPU and on the simulated GPU; print what is equal, as JSON.

A process of its own: PyTorch must know the device before the first backward pass.
"""

import json
import sys
import tempfile
import warnings
from contextlib import suppress
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from systolith.compress import (
    DJPQPruning,
    DPPPruning,
    EnsemblePruning,
    GDPPruning,
    OBSPruning,
    ParticlePruning,
    Pruning,
    SPPPruning,
    SRSTEPruning,
    Trainer,
    compress_model,
)
from systolith.data import load_digits, shift_images
from systolith.foundation import no_progress
from systolith.models import DigitsCNN
from systolith.network import KOutOfN, Pattern
from systolith.prune import DPP
from systolith.train import DenseTeacher, EpochCallback, EpochProgress, Recipe, Teacher, fit

PATTERNS = {"conv2": Pattern(select=KOutOfN(2, 8))}
METHODS: dict[str, Pruning] = {
    "dpp": DPPPruning(patterns=PATTERNS),
    "sr-ste, joint": SRSTEPruning(patterns=PATTERNS, joint=True),
    "spp": SPPPruning(patterns=PATTERNS),
    "obs": OBSPruning(patterns=PATTERNS, epochs=0),
    "gdp": GDPPruning(keep=0.7),
    "djpq": DJPQPruning(),
    "lfe": EnsemblePruning(keep=0.7, images=20, rounds=2),
    "particles": ParticlePruning(
        kernels=0.5, layers="conv2", particles=3, generations=2, images=20
    ),
}
DIGITS = load_digits()
DATA = replace(
    DIGITS, train_images=DIGITS.train_images[:128], train_labels=DIGITS.train_labels[:128]
)
RECIPE = Recipe(
    float_epochs=0,
    prune_epochs=1,
    quantize_epochs=1,
    augment=shift_images,
    ema=0.9,
    clip_norm=1.0,
    teacher=DenseTeacher(),
)


def load_simulation() -> Any:
    """Import the module beside this one, which is in no package."""
    spec = spec_from_file_location("second_device", Path(__file__).with_name("second_device.py"))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def are_equal(first: nn.Module, second: nn.Module) -> bool:
    """Compare all weights, which must be on the CPU."""
    wanted, got = first.state_dict(), second.state_dict()
    on_cpu = all(value.device.type == "cpu" for value in got.values())
    same = all(map(torch.equal, wanted.values(), got.values()))
    return on_cpu and list(wanted) == list(got) and same


class _Interruption(Exception):
    pass


def _interrupt(progress: EpochProgress) -> None:
    if progress.epoch == 2:
        raise _Interruption


def resume(simulation: Any) -> dict[str, bool]:
    """Interrupt on the GPU; resume there and on the CPU."""
    results, straight = {}, DigitsCNN()
    teacher = Teacher(DigitsCNN(seed=1))

    def train(model: nn.Module, progress: EpochCallback, checkpoint: Path | None) -> None:
        fit(
            model,
            DATA,
            epochs=2,
            augment=shift_images,
            ema=0.9,
            teacher=teacher,
            sparsifier=DPP(model, PATTERNS),
            progress=progress,
            checkpoint=checkpoint,
        )

    train(straight, no_progress, None)
    with tempfile.TemporaryDirectory() as folder:
        for there in (True, False):
            checkpoint = Path(folder) / str(there)
            with simulation.simulated_gpu() as gpu:
                with suppress(_Interruption):
                    train(DigitsCNN().to(gpu), _interrupt, checkpoint)
            resumed = DigitsCNN()
            if there:
                with simulation.simulated_gpu() as gpu:
                    train(resumed.to(gpu), no_progress, checkpoint)
                    resumed.to("cpu")
            else:
                train(resumed, no_progress, checkpoint)
            name = "resumed there" if there else "resumed on the CPU"
            results[name] = are_equal(straight, resumed)
    return results


def compress(simulation: Any, pruning: Pruning) -> bool:
    """Compress on both; compare the quantized models."""
    models = [compress_model(DigitsCNN(), Trainer(data=DATA, recipe=RECIPE), [pruning])]
    find = "systolith.train.recipe.find_device"
    with simulation.simulated_gpu() as gpu, patch(find, lambda name: gpu):
        models.append(compress_model(DigitsCNN(), Trainer(data=DATA, recipe=RECIPE), [pruning]))
    return are_equal(*models)


def main() -> None:
    """Print which results are equal."""
    warnings.simplefilter("ignore")
    simulation = load_simulation()
    simulation.register()
    results = resume(simulation) if "resume" in sys.argv else {}
    for name, pruning in METHODS.items():
        if name in sys.argv:
            results[name] = compress(simulation, pruning)
    print(json.dumps(results))


if __name__ == "__main__":
    main()

"""What every measurement needs: data, trained weights, resumable stages, a result file."""

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.results import write_result
from systolith.data import COLOURS, Dataset, crop_and_flip, load_cifar10
from systolith.models import ResNet8, load_weights, resnet20, resnet56
from systolith.train import Algorithm, EpochProgress, Normalized, Precision, Teacher, fit

RESULTS = Path(__file__).parent / "results"
NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "resnet8": ResNet8,
    "resnet20": resnet20,
    "resnet56": resnet56,
}
RAW_PIXELS = {"resnet8": 255.0}
"""Networks trained on pixels 0..255; the others want normalized colours."""


@dataclass(kw_only=True)
class Workbench:
    """Data, weights, and a folder that caches finished stages."""

    data_path: Path
    weights: Path
    folder: Path
    scale: float = 1.0
    """Factor on all epochs, for trying a command out."""
    seconds: dict[str, float] = field(default_factory=dict)
    teachers: dict[str, Teacher] = field(default_factory=dict)
    checkpoints: list[Path] = field(default_factory=list)
    """Of training whose stage is not saved yet."""

    def __post_init__(self) -> None:
        (self.folder / "networks").mkdir(parents=True, exist_ok=True)

    @cached_property
    def raw(self) -> Dataset:
        return load_cifar10(self.data_path)

    @cached_property
    def normalized(self) -> Dataset:
        return load_cifar10(self.data_path, normalize=True)

    def data(self, network: str) -> Dataset:
        """Images as the network's weights want them."""
        return self.raw if network in RAW_PIXELS else self.normalized

    def trained(self, network: str) -> nn.Module:
        """Make the network with its published weights."""
        model = NETWORKS[network]()
        path = self.weights / f"{network}_cifar10.safetensors"
        load_weights(model, path, input_scale=RAW_PIXELS.get(network, 1.0))
        return model.eval()

    def teacher(self, name: str | None, student: str) -> Teacher | None:
        """Make a published network teach a student; logits are cached in the work folder."""
        if name is None:
            return None
        raw = student in RAW_PIXELS
        key = f"{name}, {'raw' if raw else 'normalized'}"
        if key not in self.teachers:
            model = self.trained(name)
            if raw:
                colours = COLOURS["cifar10"]
                model = Normalized(model, colours.mean, colours.deviation)
            self.teachers[key] = Teacher(model, cache=self.folder / "teachers")
        return self.teachers[key]

    def epochs(self, epochs: int) -> int:
        return max(1, round(epochs * self.scale))

    def fit(self, stage: str, model: nn.Module, data: Dataset, **settings: Any) -> None:
        """Train with what all measurements share, resuming what was interrupted."""
        start = time.monotonic()
        self.checkpoints.append(self.folder / f"{stage}.checkpoint")
        fit(
            model,
            data,
            **{
                "batch_size": 128,
                "algorithm": Algorithm.SGD,
                "precision": Precision.BFLOAT16,
                "augment": crop_and_flip,
                "phase": stage,
                "progress": log,
                "checkpoint": self.checkpoints[-1],
                **settings,
            },
        )
        self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.monotonic() - start, 1)

    def stage(self, name: str, work: Callable[[], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do the work, or read its result if an earlier run has finished it."""
        path = self.folder / f"{name}.pt"
        if path.exists():
            content: Mapping[str, Any] = torch.load(path, weights_only=False)
            self.seconds[name] = content["seconds"]
            return content["result"]
        start = time.monotonic()
        result = work()
        self.seconds[name] = round(time.monotonic() - start, 1)
        temporary = path.with_suffix(".part")
        torch.save({"result": result, "seconds": self.seconds[name]}, temporary)
        temporary.replace(path)
        for checkpoint in self.checkpoints:
            checkpoint.unlink(missing_ok=True)
        self.checkpoints.clear()
        return result

    def record(self, name: str, result: Mapping[str, Any]) -> None:
        """Write a result file."""
        command = f"python -m benchmarks.pruning {name}"
        content = {"epochs_factor": self.scale, **result}
        write_result(RESULTS / f"{name}.json", command, content)


def log(progress: EpochProgress) -> None:
    if progress.epoch_done:
        print(
            f"{progress.phase}: epoch {progress.epoch}/{progress.epochs} loss {progress.loss:.4f} "
            f"accuracy {progress.accuracy:.4f} density {progress.density:.3f} "
            f"{progress.seconds_left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )

"""The network of an experiment: trained, pruned, quantized and lowered."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from systolith.config import Experiment
from systolith.data import Dataset
from systolith.frontend import IntegerModel, lower
from systolith.network import IntArray, IntegerNetwork, Pattern, load, save, trace
from systolith.prune import MaskSet, match_patterns
from systolith.quant import LayerBits, QuantConfig, QuantizedModel, prepare
from systolith.steps.factories import make_data, make_model
from systolith.steps.proving import Progress
from systolith.steps.sources import Preparation
from systolith.train import Progress as TrainProgress
from systolith.train import (
    Recipe,
    evaluate,
    train_float,
    train_pruned,
    train_quantized,
)

__all__ = ["ExperimentSource"]

CALIBRATION_IMAGES = 512


class ExperimentSource:
    """Trains and lowers; then the network, the test images and the PyTorch reference are there.

    Parameters
    ----------
    experiment : Experiment
        What to do.
    output : Path
        Where results go.
    folder : Path
        Where the experiment file lies; modules that it names are looked for there.
    """

    def __init__(self, experiment: Experiment, output: Path, folder: Path) -> None:
        self.experiment, self.output, self.folder = experiment, output, folder

    @contextmanager
    def running(self) -> Iterator[None]:
        """Give PyTorch the experiment's number of threads while the block runs."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.experiment.train.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    @property
    def stages(self) -> Mapping[str, Preparation]:
        """Training, then lowering."""
        content = self.experiment.model_dump(
            mode="json", include={"name", "seed", "model", "data", "train", "prune", "quantize"}
        )
        return {
            "train": Preparation(depends=[content], files=["train/"], run=self._train),
            "lower": Preparation(
                depends=[content],
                files=["network.json", "network.safetensors"],
                run=self._lower,
            ),
        }

    @cached_property
    def data(self) -> Dataset:
        """Images and labels."""
        return make_data(self.experiment.data.factory, self.experiment.seed, self.folder)

    @cached_property
    def network(self) -> IntegerNetwork:
        """The lowered network."""
        return load(self.output / "network.json")

    @cached_property
    def integer_model(self) -> IntegerModel:
        """The trained model in integer mode: the reference."""
        return IntegerModel(self._quantized)

    def images(self, count: int | None) -> tuple[IntArray, IntArray | None]:
        """Quantize the first `count` test images."""
        images = self.data.test_images[:count]
        labels = np.asarray(self.data.test_labels[:count].numpy(), dtype=np.int64)
        return self.integer_model.quantize_input(images), labels

    def reference(self, images: IntArray) -> dict[str, IntArray]:
        """Outputs of every layer, computed by PyTorch."""
        return self.integer_model.trace(images)

    def _fresh_model(self) -> nn.Module:
        return make_model(self.experiment.model.factory, self.experiment.seed, self.folder)

    @cached_property
    def _patterns(self) -> dict[str, Pattern]:
        rules = [(rule.layers, rule.pattern) for rule in self.experiment.prune]
        return match_patterns(self._fresh_model(), rules)

    @property
    def _bits(self) -> QuantConfig:
        section = self.experiment.quantize
        layers = {
            name: LayerBits(weight_bits=bits.weight_bits, act_bits=bits.act_bits)
            for name, bits in section.layers.items()
        }
        return QuantConfig(
            weight_bits=section.weight_bits, act_bits=section.act_bits, layers=layers
        )

    def _train(self, progress: Progress) -> dict[str, Any]:
        """All three phases; weights and masks are written when the last is done."""
        section, data = self.experiment.train, self.data
        recipe = Recipe(
            float_epochs=section.float_epochs,
            prune_epochs=section.prune_epochs if self.experiment.prune else 0,
            quantize_epochs=section.quantize_epochs,
            learning_rate=section.learning_rate,
            batch_size=section.batch_size,
            seed=self.experiment.seed,
        )
        total = recipe.float_epochs + recipe.prune_epochs + recipe.quantize_epochs
        begun = {"float": 0, "prune": recipe.float_epochs}
        begun["quantize"] = recipe.float_epochs + recipe.prune_epochs

        def heard(now: TrainProgress) -> None:
            text = f"{now.phase} {now.epoch}/{now.epochs}, loss {now.loss:.3f}"
            progress(begun[now.phase] + now.epoch, total, f"{text}, {now.accuracy:.1%}")

        model = self._fresh_model()
        patterns = self._patterns
        # What cannot be quantized must be known before hours of training, not after.
        prepare(model, data.train_images[:CALIBRATION_IMAGES], self._bits)
        accuracy: dict[str, Any] = {"test_images": len(data.test_labels)}
        train_float(model, data, recipe, heard)
        accuracy["float"] = evaluate(model, data.test_images, data.test_labels)
        masks = train_pruned(model, data, patterns, recipe, heard)
        accuracy["pruned"] = evaluate(model, data.test_images, data.test_labels)
        quantized = train_quantized(model, data, masks, self._bits, recipe, heard)
        self._save("float", dict(model.state_dict()))
        self._save("masks", dict(masks))
        self._save("quantized", dict(quantized.state_dict()))
        return {"accuracy": accuracy, "files": {"train": "train"}}

    def _lower(self, progress: Progress) -> dict[str, Any]:
        """Write the integer network, and compare NumPy with PyTorch on every test image."""
        network = lower(self._quantized, name=self.experiment.name)
        save(network, self.output / "network.json")
        data = self.data
        images, _ = self.images(None)
        golden, reference = trace(network, images), self.reference(images)
        unequal = [name for name in golden if not np.array_equal(golden[name], reference[name])]
        accuracy = evaluate(self.integer_model.logits, data.test_images, data.test_labels)
        return {
            "accuracy": {"integer": accuracy, "test_images": len(images)},
            "files": {"network": "network.json"},
            "checks": [
                {
                    "name": "NumPy and PyTorch",
                    "what": f"{len(golden)} tensors of {len(images)} images",
                    "passed": not unequal,
                    "findings": [f"layer '{name}' differs" for name in unequal],
                }
            ],
        }

    @cached_property
    def _quantized(self) -> QuantizedModel:
        """The trained model, put together again from what training wrote."""
        model = self._fresh_model()
        model.load_state_dict(self._load("float"))
        patterns = {f"{name}.weight": pattern for name, pattern in self._patterns.items()}
        masks = MaskSet(self._load("masks"), patterns)
        calibration = self.data.train_images[:CALIBRATION_IMAGES]
        quantized = prepare(model.eval(), calibration, self._bits, masks)
        quantized.load_state_dict(self._load("quantized"))
        return quantized.eval()

    def _save(self, name: str, tensors: dict[str, torch.Tensor]) -> None:
        folder = self.output / "train"
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{name}.tmp"
        save_file({key: value.contiguous() for key, value in tensors.items()}, temporary)
        temporary.replace(folder / f"{name}.safetensors")

    def _load(self, name: str) -> dict[str, torch.Tensor]:
        return load_file(self.output / "train" / f"{name}.safetensors")

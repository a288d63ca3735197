"""The stages of the software half: train, prune, quantize and lower the model."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from systolith.compress import (
    ModelCheck,
    PrunedModel,
    Trainer,
    load_pruned,
    load_quantized,
    prune_model,
    quantize_model,
    save_pruned,
    save_quantized,
)
from systolith.config import Experiment
from systolith.data import Dataset, TargetKind, load_image_files
from systolith.emit import MEANING, Meaning, read_meaning
from systolith.foundation import ProblemCollector, UsageError, write_json
from systolith.frontend import IntegerModel, lower
from systolith.network import INPUT, IntArray, IntegerNetwork, load, save, trace
from systolith.prune import prunable_layers
from systolith.prune.filters_first import filter_weights
from systolith.quant import QuantConfig, QuantizedModel
from systolith.report import Report
from systolith.stages.keys import Inputs
from systolith.stages.keys.training import TrainingInputs
from systolith.stages.software.factories import (
    make_bits,
    make_data,
    make_model,
    make_post_training,
    make_recipe,
    make_teacher,
)
from systolith.stages.software.pictures import draw_pruned
from systolith.stages.software.preflight import check_training
from systolith.stages.software.prunings import make_prunings
from systolith.stages.sources import Judge
from systolith.stages.stage import Stage, StageContext
from systolith.stages.workspace import StageRecord
from systolith.train import (
    DenseTeacher,
    Metric,
    Recipe,
    clear_checkpoints,
    evaluate_data,
    save_tensors,
    train_float,
)

__all__ = ["ExperimentSource", "describe_meaning"]


class ExperimentSource:
    """The network, test images and PyTorch reference of an experiment, once its stages have run.

    Parameters
    ----------
    experiment : Experiment
    output : Path
        Folder for results.
    folder : Path
        Folder of the experiment file, in which the user's modules are searched first.
    """

    def __init__(self, experiment: Experiment, output: Path, folder: Path) -> None:
        self.experiment, self.output, self.folder = experiment, output, folder
        self.dense_shapes: dict[str, list[int]] | None = None

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
    def stages(self) -> tuple[Stage, ...]:
        """Training, pruning, quantizing and lowering."""
        lowered = ["network.json", "network.safetensors", MEANING]
        teacher = self.experiment.train.teacher
        quantized_from = ("train", "prune") if teacher and teacher.is_dense else ("prune",)
        return (
            self._stage("train", (), ["train/"], self._train),
            self._stage("prune", ("train",), ["prune/"], self._prune),
            self._stage("quantize", quantized_from, ["quantize/"], self._quantize),
            self._stage("lower", ("prune", "quantize"), lowered, self._lower),
        )

    def _stage(
        self,
        name: str,
        depends: tuple[str, ...],
        files: Sequence[str],
        run: Callable[[StageContext], dict[str, Any]],
    ) -> Stage:
        def read_inputs() -> Inputs:
            return self.training_inputs.of(name)

        return Stage(
            name=name,
            depends=depends,
            inputs=read_inputs,
            files=lambda: files,
            run=run,
            publish=self._publish,
        )

    def _publish(self, report: Report, record: StageRecord) -> None:
        """Publish accuracy, checks and files."""
        result = record.result
        report.add_accuracy(result.get("accuracy", {}))
        report.add_metrics(result.get("metrics", {}))
        report.files.update(result.get("files", {}))
        report.add_checks(result.get("checks", []))
        self.dense_shapes = result.get("dense", self.dense_shapes)

    def check(self, problems: ProblemCollector, judge: Judge | None) -> None:
        """Check the model, the data and everything that the experiment says about them."""
        if (check := self.check_model(problems, judge)) is not None:
            problems.errors += check.errors()
            for warning in check.warnings:
                warnings.warn(str(warning), stacklevel=2)
            if not self.data.has_targets:
                without = "outputs are compared, but no accuracy is counted"
                warnings.warn(f"data set '{self.data.name}' has no labels: {without}", stacklevel=2)

    def check_model(self, problems: ProblemCollector, judge: Judge | None) -> ModelCheck | None:
        """Return what pruning, quantization and lowering refuse; `problems` gets all others."""
        return check_training(
            self.experiment,
            self._fresh_model,
            lambda: self.data,
            lambda: self._bits,
            lambda: self._recipe.teacher,
            problems,
            judge,
        )

    @cached_property
    def training_inputs(self) -> TrainingInputs:
        """What the stages read."""
        return TrainingInputs(
            self.experiment,
            self.folder,
            self.data,
            self._fresh_model,
            lambda: self._recipe.teacher,
        )

    @cached_property
    def data(self) -> Dataset:
        """Images and labels."""
        return make_data(self.experiment.data, self.experiment.seed, self.folder)

    @cached_property
    def network(self) -> IntegerNetwork:
        """The lowered network."""
        return load(self.output / "network.json")

    @cached_property
    def meaning(self) -> Meaning | None:
        """Scales that training found, and what the data set is normalized with."""
        return read_meaning(self.output / "network.json")

    @cached_property
    def integer_model(self) -> IntegerModel:
        """The trained model in integer mode: the reference."""
        return IntegerModel(self._quantized)

    @property
    def available(self) -> int | None:
        """Test images that there are."""
        return len(self.data.test_images)

    def images(self, count: int | None) -> tuple[IntArray, IntArray | None]:
        """Quantize the first `count` test images; labels are None unless classes are known."""
        images = self.data.test_images[:count]
        integers = self.integer_model.quantize_input(images)
        if not self.data.has_labels or self.data.target is not TargetKind.CLASSES:
            return integers, None
        return integers, np.asarray(self.data.test_labels[:count].numpy(), dtype=np.int64)

    def pictures(self, files: Sequence[Path]) -> IntArray:
        """Read image files, scaled to the network's input, prepared as the data set is."""
        shape = self.data.input_shape
        if len(shape) != 3:
            raise UsageError(f"pictures are images (C, H, W), the network's input is {shape}")
        try:
            images = load_image_files(files, (shape[0], shape[1], shape[2]))
        except ValueError as error:
            raise UsageError(str(error)) from error
        return self.integer_model.quantize_input(self.data.prepare(images))

    def reference(self, images: IntArray) -> dict[str, IntArray]:
        """Outputs of every layer, computed by PyTorch."""
        return self.integer_model.trace(images)

    @cached_property
    def _bits(self) -> QuantConfig:
        return make_bits(self.experiment, self.data.train_images, self.data.test_images)

    def _fresh_model(self) -> nn.Module:
        return make_model(self.experiment.model, self.experiment.seed, self.folder)

    def _train(self, context: StageContext) -> dict[str, Any]:
        """Train the dense float network."""
        model, data = self._fresh_model(), self.data
        train_float(model, data, self._recipe, context.progress, context.checkpoint)
        self._save("train/weights", dict(model.state_dict()))
        clear_checkpoints(context.checkpoint)
        return {**self._measure("float", model), "files": {"train": "train"}}

    def _prune(self, context: StageContext) -> dict[str, Any]:
        """Carry out the pruning steps, and save and draw what was kept."""
        model = self._trained_model()
        trainer = self._trainer(context).taught_by(model)
        pruned = prune_model(model, trainer, make_prunings(self.experiment))
        save_pruned(pruned, self.output / "prune")
        draw_pruned(
            self._fresh_model(),
            pruned.model,
            pruned.masks,
            pruned.filters,
            pruned.history,
            self.output / "prune" / "pictures",
        )
        clear_checkpoints(context.checkpoint)
        if not pruned.filters and not pruned.masks:
            return {"files": {"prune": "prune"}}
        return {**self._measure("pruned", pruned.model), "files": {"prune": "prune"}}

    def _quantize(self, context: StageContext) -> dict[str, Any]:
        """Train with quantized weights and activations, and prune jointly if a step says so."""
        trainer, prunings = self._trainer(context), make_prunings(self.experiment)
        if isinstance(trainer.recipe.teacher, DenseTeacher):
            trainer = trainer.taught_by(self._trained_model())
        quantized = quantize_model(
            self._pruned,
            trainer,
            self._bits,
            prunings=prunings,
            post_training=make_post_training(self.experiment),
        )
        save_quantized(quantized, self.output / "quantize")
        clear_checkpoints(context.checkpoint)
        return {"files": {"quantize": "quantize"}}

    @cached_property
    def _recipe(self) -> Recipe:
        teacher = make_teacher(self.experiment, self.data, self.folder)
        return replace(make_recipe(self.experiment), teacher=teacher)

    def _trainer(self, context: StageContext) -> Trainer:
        return Trainer(
            data=self.data,
            recipe=self._recipe,
            progress=context.progress,
            checkpoint=context.checkpoint,
        )

    def _measure(
        self, state: str, model: nn.Module | Callable[[torch.Tensor], torch.Tensor]
    ) -> dict[str, Any]:
        """Measure how well outputs fit the test targets; nothing without targets."""
        if not self.data.has_targets:
            return {}
        values = {metric.value: value for metric, value in evaluate_data(model, self.data).items()}
        accuracy: dict[str, float] = {"test_images": len(self.data.test_images)}
        if (share := values.pop(Metric.ACCURACY.value, None)) is not None:
            accuracy[state] = share
        return {"accuracy": accuracy, "metrics": {state: values} if values else {}}

    def _lower(self, context: StageContext) -> dict[str, Any]:
        """Write the integer network, and compare NumPy with PyTorch on all test images."""
        network = lower(self._quantized, name=self.experiment.name)
        save(network, self.output / "network.json")
        meaning = describe_meaning(self._quantized, self.data, network.outputs)
        write_json(self.output / MEANING, meaning.to_json(network))
        images, _ = self.images(None)
        golden, reference = trace(network, images), self.reference(images)
        unequal = [name for name in golden if not np.array_equal(golden[name], reference[name])]
        integers = self.integer_model
        real = not self.data.target.is_classes
        return {
            **self._measure("integer", integers.real_outputs if real else integers.logits),
            "files": {"network": "network.json"},
            "dense": dict(self._dense_shapes()),
            "checks": [
                {
                    "name": "NumPy and PyTorch",
                    "hardware": False,
                    "what": f"{len(golden)} tensors of {len(images)} images",
                    "passed": not unequal,
                    "findings": [f"layer '{name}' differs" for name in unequal],
                }
            ],
        }

    def _dense_shapes(self) -> Iterator[tuple[str, list[int]]]:
        """Shapes of weights before filters were removed, by the network's layers."""
        before = prunable_layers(self._fresh_model())
        for name, origin in self._quantized.origins.items():
            if origin in before:
                yield name, list(filter_weights(before[origin]).shape)

    def _trained_model(self) -> nn.Module:
        model = self._fresh_model()
        model.load_state_dict(load_file(self.output / "train" / "weights.safetensors"))
        return model.eval()

    @cached_property
    def _pruned(self) -> PrunedModel:
        """The pruned model, put together again from what pruning wrote."""
        return load_pruned(self._fresh_model(), self.data, self.output / "prune")

    @cached_property
    def _quantized(self) -> QuantizedModel:
        """The quantized model, put together again from what training wrote."""
        return load_quantized(self._pruned, self.data, self._bits, self.output / "quantize")

    def _save(self, name: str, tensors: dict[str, torch.Tensor]) -> None:
        save_tensors(tensors, self.output / f"{name}.safetensors")


def describe_meaning(model: QuantizedModel, data: Dataset, outputs: Sequence[str]) -> Meaning:
    """Describe what the integers of a trained network stand for.

    Parameters
    ----------
    model : QuantizedModel
    data : Dataset
        Its normalization comes before the quantizer of the input.
    outputs : sequence of str
        Names of the network's output layers.
    """

    def step(name: str) -> float:
        return float(model.quantizer(name).step.detach())

    normal: dict[str, list[Any]] = {}
    if data.mean is not None and data.deviation is not None:
        pairs = list(zip(data.mean, data.deviation, strict=True))
        normal = {
            "multiply_by": [[[1 / deviation]] for _, deviation in pairs],
            "add": [[[-mean / deviation]] for mean, deviation in pairs],
        }
    return Meaning(
        input_scale=step(INPUT),
        output_scales={name: step(name) for name in outputs},
        multiply_by=normal.get("multiply_by", [1.0]),
        add=normal.get("add", [0.0]),
        rounding="half_up",
        ends={name: model.ends[name] for name in outputs if name in model.ends},
        notes=(*model.notes, *model.returned.moves),
    )

"""Checks before training: data, model, rules and engines."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn

from systolith.compress import ModelCheck, Trainer, check_model
from systolith.config import Experiment
from systolith.data import Dataset, TargetKind
from systolith.foundation import ProblemCollector
from systolith.models.weights import WITH_WEIGHTS
from systolith.network import NetworkError
from systolith.plan import PlanError
from systolith.quant import QuantConfig
from systolith.stages.keys import explain_user_error
from systolith.stages.software.factories import make_recipe
from systolith.stages.software.prunings import make_prunings
from systolith.stages.sources import Judge
from systolith.train import DenseTeacher, Teacher
from systolith.train.precision import weight_problems
from systolith.train.probe import image_problems
from systolith.train.targets import output_problems

__all__ = ["check_training"]

SCALED_TOLERANCE = 1e-3
"""Largest difference, relative to the largest output; float32 rounding stays far below it."""


def check_training(
    experiment: Experiment,
    make: Callable[[], nn.Module],
    load: Callable[[], Dataset],
    bits: Callable[[], QuantConfig],
    teach: Callable[[], Teacher | DenseTeacher | None],
    problems: ProblemCollector,
    judge: Judge | None,
) -> ModelCheck | None:
    """Check everything that training and later stages need of the model and the data.

    Parameters
    ----------
    experiment : Experiment
    make, load, bits, teach : callable
        Return the untrained model, the data set, the widths, and the teacher.
    problems : ProblemCollector
        Gets what is wrong with the model and the data, and what engines refuse.
    judge : callable or None
        Raises PlanError if there can be no engines; None if the run plans none.

    Returns
    -------
    ModelCheck or None
        What pruning, quantization and lowering refuse and accept; None if the model cannot run on
        the data.
    """
    model: nn.Module | None = None
    data: Dataset | None = None
    with problems.collect():
        made = make()
        NetworkError.raise_if_any(_model_problems(made, experiment.model.factory))
        model = made
    with problems.collect():
        data = load()
        NetworkError.raise_if_any(_data_problems(data, experiment))
    if model is None or data is None or not data.train_images.numel():
        return None
    images = torch.nan_to_num(data.calibration_images)
    runs, recipe = False, make_recipe(experiment)
    with problems.collect():
        wrong = list(_output_problems(model, data, experiment))
        runs = True
        NetworkError.raise_if_any(wrong)
    with problems.collect():
        recipe = replace(recipe, teacher=teach())
    check: ModelCheck | None = None
    with problems.collect():
        check = check_model(
            model,
            images,
            make_prunings(experiment),
            bits(),
            trainer=Trainer(data=data, recipe=recipe) if runs else None,
            name=experiment.name,
        )
    if check is None or check.network is None or judge is None:
        return check
    with problems.collect():
        try:
            judge(check.network, not check.patterns_known)
        except PlanError as error:
            early = [f"before training: {problem}" for problem in error.problems]
            raise PlanError(early) from error
    return check


def _model_problems(model: nn.Module, factory: str) -> Iterator[str]:
    yield from weight_problems(model, f"model.factory '{factory}'")
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    if away := [name for name, tensor in tensors.items() if tensor.device.type != "cpu"]:
        yield (
            f"model.factory '{factory}' must make a model on the CPU, but '{away[0]}' is on "
            f"{tensors[away[0]].device}: return model.cpu()"
        )


def _data_problems(data: Dataset, experiment: Experiment) -> Iterator[str]:
    """Find what training does not look at: test images; training images only if there are none."""
    if not data.train_images.numel():
        yield from image_problems(data)
    yield from image_problems(data, "test")
    if not data.test_targets.isfinite().all() and data.target is TargetKind.VALUES:
        yield f"test labels of data set '{data.name}' must be finite, got NaN or infinite values"
    if experiment.hardware.class_on_chip and not data.target.is_classes:
        yield (
            f"hardware.class_on_chip needs classes, but targets of data set '{data.name}' are of "
            f"kind '{data.target.value}'"
        )


def _output_problems(model: nn.Module, data: Dataset, experiment: Experiment) -> Iterator[str]:
    """Run the model on a few images; check test labels, and weights for scaled images."""
    what, images = f"model.factory '{experiment.model.factory}'", data.train_images[:2]
    with explain_user_error(f"{what}: its forward(), for images of shape {tuple(images.shape)},"):
        outputs = _outputs(model.eval(), images)
    kind = data.target
    if isinstance(outputs, Tensor) and (outputs.ndim == 2 or kind is not TargetKind.CLASSES):
        if data.has_labels and kind is not TargetKind.INPUT:
            named = f"test labels of data set '{data.name}'"
            yield from output_problems(outputs, len(outputs), data.test_labels, named, kind)
        yield from _scale_problems(model, images, outputs, experiment)


def _scale_problems(
    model: nn.Module, images: Tensor, logits: Tensor, experiment: Experiment
) -> Iterator[str]:
    """Check that scaled weights give the same logits as the given ones for scaled images."""
    scale = experiment.model.input_scale
    if scale == 1 or experiment.model.weights is None:
        return
    unscaled = copy.deepcopy(model)
    name, layer = next(
        (name, module)
        for name, module in unscaled.named_modules()
        if isinstance(module, WITH_WEIGHTS)
    )
    with torch.no_grad():
        layer.weight.div_(scale)
    wanted = _outputs(unscaled, images * scale)
    assert isinstance(wanted, Tensor)  # as `logits` is
    if not (logits - wanted).abs().max() <= SCALED_TOLERANCE * wanted.abs().max():
        yield (
            f"model.input_scale = {scale:g} scales '{name}', the first layer of the model's "
            "modules that has weights, but the images are read by another one, or changed before; "
            "scale the images in the data set"
        )


def _outputs(model: nn.Module, images: Tensor) -> object:
    with torch.no_grad():
        return model(images.clone())

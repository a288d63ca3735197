"""What a training will refuse, found before its first step."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from systolith.data import Dataset, MixingAugment, augment_problems, augment_warnings
from systolith.foundation import is_whole, kind_problems
from systolith.trace import evaluating
from systolith.train.objectives import CrossEntropy
from systolith.train.precision import weight_problems
from systolith.train.settings import setting_problems
from systolith.train.targets import (
    arrange_targets,
    default_objective,
    end_problems,
    name_targets,
    output_problems,
    read_outputs,
    target_places,
    target_problems,
)
from systolith.train.teaching import DenseTeacher, Teacher

__all__ = ["TrainingProbe", "image_problems", "probe_training"]

PROBED_IMAGES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProbe:
    """What is known of a training before its first step.

    Attributes
    ----------
    problems : tuple of str
        Why the training is refused; empty if it can begin.
    warnings : tuple of str
        What costs accuracy.
    classes : int
        Outputs of the model; 0 if it was not run.
    """

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    classes: int = 0


def probe_training(
    model: nn.Module,
    data: Dataset,
    settings: Mapping[str, Any],
    *,
    steps: bool = True,
    labels: bool = False,
) -> TrainingProbe:
    """Find every reason why a model cannot be trained on a data set.

    The model, the objective and the teacher run once, in evaluation mode, on two images.

    Parameters
    ----------
    model : nn.Module
        Not changed; hooks run.
    data : Dataset
        Only its training part is read.
    settings : mapping of str to Any
        Arguments of :func:`fit` or fields of a :class:`Recipe`, by name.
    steps : bool
        Whether there is any training.
    labels : bool
        Whether labels are read, even without any training. Without both, only the settings are
        checked.
    """
    problems = [
        *kind_problems("model", model, nn.Module),
        *kind_problems("data", data, Dataset),
        *setting_problems(settings),
    ]
    if not isinstance(model, nn.Module) or not isinstance(data, Dataset):
        return TrainingProbe(problems=tuple(problems))
    if not (steps or labels):
        if not len(data.train_images):
            problems += image_problems(data)
        return TrainingProbe(problems=tuple(problems))
    problems += [*image_problems(data), *weight_problems(model, "the model")]
    if not data.has_targets and data.train_images.numel():
        needs = "training" if steps else "this pruning method"
        problems.append(
            f"data set '{data.name}' has no labels, which {needs} reads; without labels, a trained "
            "model can be pruned and quantized with 0 epochs"
        )
        return TrainingProbe(problems=tuple(problems))
    if steps and settings.get("sparsifier") is None:
        problems += _gradient_problems(model)
    places = target_places(data)
    problems += augment_problems(settings.get("augment"), data.input_shape, places)
    problems += [*target_problems(data), *end_problems(model, data.target)]
    warnings = tuple(augment_warnings(settings.get("augment"), data.input_shape))
    if not data.train_images.numel():
        return TrainingProbe(problems=tuple(problems), warnings=warnings)
    single: dict[str, None] = {}
    images = _first_images(model, data)
    try:
        with evaluating(model), _noting_single_values(model, single):
            outputs = model(images)
    except Exception as error:  # the model's code may raise anything
        shape, reason = tuple(data.train_images.shape), str(error) or type(error).__name__
        problems.append(f"images of shape {shape} do not fit the model: {reason}")
        return TrainingProbe(problems=tuple(problems), warnings=warnings)
    what = f"{name_targets(data.target, 'training')} of data set '{data.name}'"
    outputs = read_outputs(model, outputs, data.target)
    wrong = list(output_problems(outputs, len(images), data.train_targets, what, data.target))
    classes = 0 if wrong else int(outputs.shape[1])
    if not wrong:
        wrong += _objective_problems(outputs, data, settings, classes)
        shape = tuple(outputs.shape[1:])
        wrong += _teacher_problems(model, images, settings.get("teacher"), shape)
    if steps:
        wrong += _batch_problems(len(data.train_images), settings.get("batch_size"), single)
    return TrainingProbe(problems=(*problems, *wrong), warnings=warnings, classes=classes)


def image_problems(data: Dataset, part: str = "training") -> Iterator[str]:
    """Yield what is wrong with the training or test images of a data set.

    Parameters
    ----------
    data : Dataset
    part : str
        "training" or "test".
    """
    images = data.train_images if part == "training" else data.test_images
    if not len(images):
        yield f"data set '{data.name}' needs {part} images, got none"
    elif not images.numel():
        yield f"{part} images of data set '{data.name}' must have pixels, got {tuple(images.shape)}"
    elif not images.isfinite().all():
        yield f"{part} images of data set '{data.name}' must be finite, got NaN or infinite pixels"


def _objective_problems(
    outputs: Tensor, data: Dataset, settings: Mapping[str, Any], classes: int
) -> Iterator[str]:
    """Compute the loss of the probed images."""
    objective = settings.get("objective") or default_objective(data.target)
    if isinstance(objective, CrossEntropy | nn.CrossEntropyLoss) and not data.target.is_classes:
        yield f"cross entropy is a loss of classes, but targets are of kind '{data.target.value}'"
        return
    targets = data.train_targets[: len(outputs)].to(outputs.device)
    if isinstance(settings.get("augment"), MixingAugment):
        targets = data.target.as_real(targets, classes)
    if any(setting_problems({"objective": objective})):
        return
    try:
        with torch.no_grad():
            loss = objective(outputs.float(), arrange_targets(targets, outputs, data.target))
    except Exception as error:  # the user's code may raise anything
        reason = str(error) or type(error).__name__
        yield f"the objective does not fit targets of kind '{data.target.value}': {reason}"
        return
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        given = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        yield f"the objective must return a scalar, got {given}"


def _gradient_problems(model: nn.Module) -> Iterator[str]:
    if not any(parameter.requires_grad for parameter in model.parameters()):
        yield "the model must have parameters that require gradients, got none"


def _first_images(model: nn.Module, data: Dataset) -> Tensor:
    images = data.train_images[:PROBED_IMAGES]
    return images.to(next((p.device for p in model.parameters()), images.device))


@contextmanager
def _noting_single_values(model: nn.Module, names: dict[str, None]) -> Iterator[None]:
    """Note batch norms that will train on one value of each channel of an image."""
    model.train()  # which a model may override, to keep batch norms as they are
    trained = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and (module.training or module.running_mean is None)
    }
    model.eval()
    with ExitStack() as hooks:
        for name, module in trained.items():

            def before(m: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                assert isinstance(m, _BatchNorm)
                given: Tensor = args[0] if args else kwargs["input"]
                if given.numel() == len(given) * m.num_features:
                    names[name] = None

            hooks.enter_context(module.register_forward_pre_hook(before, with_kwargs=True))
        yield


def _teacher_problems(
    model: nn.Module, images: Tensor, teacher: Any, outputs: tuple[int, ...]
) -> Iterator[str]:
    if isinstance(teacher, DenseTeacher):
        teacher = teacher.of(model)
    if isinstance(teacher, Teacher):
        yield from teacher.problems(images, outputs)


def _batch_problems(images: int, batch_size: Any, single: Iterable[str]) -> Iterator[str]:
    """Find a last batch whose batch norms would average one value."""
    names = ", ".join(f"'{name}'" for name in single)
    if names and is_whole(batch_size) and batch_size > 0 and 1 in (batch_size, images % batch_size):
        yield (
            f"batch_size {batch_size} leaves a last batch of 1 image of {images}, in which batch "
            f"norms normalize one value of each channel: {names}; give another batch_size"
        )

"""Checks before training: data, model, rules and engines."""

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from systolith.compress import ModelCheck, Trainer, check_model
from systolith.config import Experiment
from systolith.data import Dataset
from systolith.foundation import ProblemCollector
from systolith.network import NetworkError
from systolith.plan import PlanError
from systolith.quant import QuantConfig
from systolith.stages.factories import make_recipe
from systolith.stages.keys import explain_user_error
from systolith.stages.prunings import make_prunings
from systolith.stages.sources import Judge
from systolith.train import DenseTeacher, Teacher

__all__ = ["check_training"]

MOST_NAMES = 3
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
        NetworkError.raise_if_any(_data_problems(data))
    if model is None or data is None or not data.train_images.numel():
        return None
    images = torch.nan_to_num(data.calibration_images)
    with problems.collect():
        NetworkError.raise_if_any(_fit_problems(model, data, experiment))
    with problems.collect():
        NetworkError.raise_if_any(_teacher_problems(model, data, teach()))
    check: ModelCheck | None = None
    with problems.collect():
        trainer = Trainer(data=data, recipe=make_recipe(experiment))
        check = check_model(
            model,
            images,
            make_prunings(experiment),
            bits(),
            trainer=trainer,
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
    what = f"model.factory '{factory}'"
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    real = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point()}
    if wrong := [name for name, tensor in real.items() if tensor.dtype is not torch.float32]:
        yield (
            f"{what} must make a model of float32, but {_names(wrong)} has "
            f"{real[wrong[0]].dtype}: return model.float()"
        )
    if away := [name for name, tensor in tensors.items() if tensor.device.type != "cpu"]:
        yield (
            f"{what} must make a model on the CPU, but {_names(away)} is on "
            f"{tensors[away[0]].device}: return model.cpu()"
        )
    elif broken := [name for name, tensor in real.items() if not torch.isfinite(tensor).all()]:
        yield f"weights must be finite, but {_names(broken)} has NaN or infinite values"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(f"'{name}'" for name in names[:MOST_NAMES]) + more


def _data_problems(data: Dataset) -> Iterator[str]:
    for part in ("train", "test"):
        images, labels = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
        name = f"data set '{data.name}': {part}_images"
        if not len(images):
            yield f"{name} must have at least one image, got none"
            continue
        if not images[0].numel():
            yield f"{name} must have pixels, got shape {tuple(images.shape)}"
        elif not torch.isfinite(images).all():
            yield f"{name} must be finite, got NaN or infinite pixels"
        if int(labels.min()) < 0:
            yield (
                f"data set '{data.name}': {part}_labels must be classes from 0, "
                f"got {int(labels.min())}"
            )


def _fit_problems(model: nn.Module, data: Dataset, experiment: Experiment) -> Iterator[str]:
    """Run the model on a few images; check shape of outputs, classes, and the smallest batch."""
    what = f"model.factory '{experiment.model.factory}'"
    images = data.train_images[:2]
    with explain_user_error(f"{what}: its forward(), for images of shape {tuple(images.shape)},"):
        logits = _outputs(model.eval(), images)
    if not isinstance(logits, Tensor):
        yield f"{what} must return one tensor of logits, got {type(logits).__name__}"
        return
    if logits.ndim != 2 or len(logits) != len(images):
        after = "; flatten before returning" if logits.ndim > 2 else ""
        yield (
            f"{what} must return logits of shape ({len(images)}, classes) for {len(images)} "
            f"images, got {tuple(logits.shape)}{after}"
        )
        return
    yield from _scale_problems(model, images, logits, experiment)
    labels = torch.cat([data.train_labels, data.test_labels])
    highest = int(labels.max())
    if highest >= logits.shape[1]:
        hint = ""
        if int(labels.min()) == 1:
            hint = "; classes count from 0, but the least label is 1"
        yield (
            f"data set '{data.name}' has labels up to {highest}, but {what} has "
            f"{logits.shape[1]} outputs, for labels 0..{logits.shape[1] - 1}{hint}"
        )
    yield from _batch_problems(model, data, experiment)


def _teacher_problems(
    model: nn.Module, data: Dataset, teacher: Teacher | DenseTeacher | None
) -> Iterator[str]:
    """Compare the outputs of a teacher with those of the model, if that runs."""
    if teacher is None:
        return
    if isinstance(teacher, DenseTeacher):
        teacher = teacher.of(model)
    images = data.train_images[:2]
    try:
        logits = _outputs(model.eval(), images)
    except Exception:  # reported with the other problems of the model
        return
    if isinstance(logits, Tensor) and logits.ndim == 2:
        for problem in teacher.problems(images, logits.shape[1]):
            yield f"train.teacher: {problem}"


def _batch_problems(model: nn.Module, data: Dataset, experiment: Experiment) -> Iterator[str]:
    """Find a model that cannot be trained with the smallest batch."""
    what, train = f"model.factory '{experiment.model.factory}'", experiment.train
    count = len(data.train_images)
    if train.float_epochs and 1 in {min(train.batch_size, count), count % train.batch_size}:
        try:
            _outputs(copy.deepcopy(model).train(), data.train_images[:1])
        except Exception as error:
            yield (
                f"train.batch_size = {train.batch_size} leaves a batch of one of {count} images, "
                f"with which {what} cannot be trained: {str(error).splitlines()[0]}"
            )


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
        if isinstance(module, nn.Conv2d | nn.Linear)
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

"""What can be known before any training: data, model, rules, engines, parts, folder."""

import copy
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from systolith.build import check_programs
from systolith.compress import check_prunings
from systolith.config import BuildSection, Experiment, RemovalStep, WeightSection
from systolith.data import Dataset
from systolith.frontend import lower
from systolith.netlist import MODELS
from systolith.network import Conv2d, IntegerNetwork, Linear, NetworkError
from systolith.plan import PlanError
from systolith.prune import match_patterns
from systolith.quant import QuantConfig, QuantizedModel, prepare
from systolith.stages.cycle_costs import apply_pattern
from systolith.stages.errors import UsageError
from systolith.stages.problems import Judge, Problems
from systolith.stages.prunings import pattern_of, prunings_of
from systolith.stages.user_code import explaining

__all__ = ["check_build", "check_folder", "check_training"]

FREE_BYTES = 100_000_000
"""Free on the disk, at least: a compiled simulator takes some ten million."""
MOST_NAMES = 3
SCALED_TOLERANCE = 1e-3
"""Relative to the largest output; float32 sums in another order stay far below it."""


def check_training(
    experiment: Experiment,
    make: Callable[[], nn.Module],
    load: Callable[[], Dataset],
    bits: Callable[[], QuantConfig],
    problems: Problems,
    judge: Judge | None,
) -> None:
    """Check all that training and what follows it will need of an experiment's model and data.

    Parameters
    ----------
    experiment : Experiment
    make, load, bits : callable
        Give the untrained model, the data set, and widths.
    problems : Problems
        Get what is wrong.
    judge : callable or None
        Judges the untrained network's engines, if there will be any.
    """
    model: nn.Module | None = None
    data: Dataset | None = None
    with problems.collected():
        model = make()
        _raise(_model_problems(model, experiment.model.factory))
    with problems.collected():
        data = load()
        _raise(_data_problems(data))
    if problems.errors or model is None or data is None:
        return
    with problems.collected():
        _raise(_fit_problems(model, data, experiment))
    quantized: QuantizedModel | None = None
    with problems.collected():
        quantized = prepare(model, data.calibration_images, bits())
    with problems.collected():
        check_prunings(model, data, prunings_of(experiment))
    if problems.errors or quantized is None or judge is None:
        return
    with problems.collected():
        try:
            network = lower(quantized, name=experiment.name)
            judge(_pruned(network, quantized, model, experiment), _will_change(experiment))
        except PlanError as error:
            found = [f"before training: {problem}" for problem in error.problems]
            raise PlanError(found) from error


def check_build(section: BuildSection) -> None:
    """See that there is something to build for and with.

    Raises
    ------
    UsageError, MissingProgramError
        If not.
    """
    if (part := section.part) is None:
        raise UsageError("a build needs a device or a board: --device, --board or [build]")
    check_programs(part.device)
    if section.check_netlist and (family := part.device.family) not in MODELS:
        known = ", ".join(each.value for each in MODELS)
        raise UsageError(
            f"a netlist is simulated with models of its cells, which there are for {known}, "
            f"but {part.device.name} is a {family.value}"
        )


def check_folder(folder: Path) -> None:
    """See that a folder can be made and written, and that the disk has room.

    Raises
    ------
    UsageError
        If not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UsageError(
            f"results need a folder that can be written, but '{folder}' cannot: {error.strerror}; "
            "name another with --output"
        ) from error
    if free < FREE_BYTES:
        raise UsageError(
            f"results need {FREE_BYTES // 10**6} MB of disk, but '{folder}' has "
            f"{free // 10**6} MB; free some, or name another folder with --output"
        )


def _raise(problems: Iterator[str]) -> None:
    if found := list(problems):
        raise NetworkError(found)


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
    """Run the model on a few images: shape of its outputs, classes, and the smallest batch."""
    what = f"model.factory '{experiment.model.factory}'"
    images = data.train_images[:2]
    with explaining(f"{what}: its forward(), for images of shape {tuple(images.shape)},"):
        found = _outputs(model.eval(), images)
    if not isinstance(found, Tensor):
        yield f"{what} must return one tensor of logits, got {type(found).__name__}"
        return
    if found.ndim != 2 or len(found) != len(images):
        after = "; flatten before returning" if found.ndim > 2 else ""
        yield (
            f"{what} must return logits of shape ({len(images)}, classes) for {len(images)} "
            f"images, got {tuple(found.shape)}{after}"
        )
        return
    yield from _scale_problems(model, images, found, experiment)
    highest = max(int(data.train_labels.max()), int(data.test_labels.max()))
    if highest >= found.shape[1]:
        hint = ""
        if min(int(data.train_labels.min()), int(data.test_labels.min())) == 1:
            hint = "; classes count from 0, but the least label is 1"
        yield (
            f"data set '{data.name}' has labels up to {highest}, but {what} has "
            f"{found.shape[1]} outputs, for labels 0..{found.shape[1] - 1}{hint}"
        )
    train = experiment.train
    count = len(data.train_images)
    if train.float_epochs and 1 in {min(train.batch_size, count), count % train.batch_size}:
        try:
            _outputs(copy.deepcopy(model).train(), images[:1])
        except Exception as error:
            yield (
                f"train.batch_size = {train.batch_size} leaves a batch of one of {count} images, "
                f"with which {what} cannot be trained: {str(error).splitlines()[0]}"
            )


def _scale_problems(
    model: nn.Module, images: Tensor, found: Tensor, experiment: Experiment
) -> Iterator[str]:
    """See that scaled weights compute for images what the others do for brighter ones."""
    scale = experiment.model.input_scale
    if scale == 1 or experiment.model.weights is None:
        return
    unscaled = copy.deepcopy(model)
    name, layer = next(
        (name, each)
        for name, each in unscaled.named_modules()
        if isinstance(each, nn.Conv2d | nn.Linear)
    )
    with torch.no_grad():
        layer.weight.div_(scale)
    wanted = _outputs(unscaled, images * scale)
    assert isinstance(wanted, Tensor)  # as `found` is
    if not (found - wanted).abs().max() <= SCALED_TOLERANCE * wanted.abs().max():
        yield (
            f"model.input_scale = {scale:g} scales '{name}', the first layer of the model's "
            "modules that has weights, but the images are read by another one, or changed before; "
            "scale the images in the data set"
        )


def _outputs(model: nn.Module, images: Tensor) -> object:
    with torch.no_grad():
        return model(images.clone())


def _will_change(experiment: Experiment) -> bool:
    """Whether pruning decides on shapes or patterns only later."""
    return any(
        isinstance(step, RemovalStep) or getattr(step, "budget", None) is not None
        for step in experiment.prune
    )


def _pruned(
    network: IntegerNetwork, quantized: QuantizedModel, model: nn.Module, experiment: Experiment
) -> IntegerNetwork:
    """Lay the rules of a step over the untrained network, if no filters leave before."""
    steps = experiment.prune
    if any(isinstance(step, RemovalStep) for step in steps):
        return network
    rules = [rule for step in steps if isinstance(step, WeightSection) for rule in step.rules]
    patterns = match_patterns(model, [(rule.layers, pattern_of(rule)) for rule in rules])
    changed = []
    for layer in network.layers:
        origin = quantized.origins.get(layer.name, layer.name)
        pattern = patterns.get(origin)
        if pattern is not None and isinstance(layer, Conv2d | Linear):
            layer = apply_pattern(layer, quantized.network_pattern(layer.name, pattern))
        changed.append(layer)
    return IntegerNetwork(
        name=network.name, input=network.input, layers=tuple(changed), outputs=network.outputs
    )

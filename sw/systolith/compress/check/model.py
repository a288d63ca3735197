"""The check of a model: all steps without training."""

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from systolith.compress.check.arguments import check_arguments
from systolith.compress.check.findings import CheckStep, ModelCheck, ModelProblem
from systolith.compress.check.layers import describe_layers
from systolith.compress.check.remedies import name_problems, names_in_messages
from systolith.compress.check.steps import (
    PruningFindings,
    find_given_patterns,
    hold_out_problems,
    rehearse_prunings,
)
from systolith.compress.methods import Pruning
from systolith.compress.trainer import Trainer
from systolith.data import Dataset
from systolith.frontend import lower
from systolith.network import IntegerNetwork, NetworkError, Pattern
from systolith.prune import ChannelGroup, PruneError, ScorePruner, find_channel_groups
from systolith.quant import (
    QuantConfig,
    QuantizedModel,
    UnsupportedModelError,
    prepare,
    quantized_masks,
)
from systolith.quant.model import NOT_FINITE
from systolith.quant.recognition import Reading, read_layers
from systolith.train.precision import weight_problems
from systolith.train.probe import TrainingProbe

__all__ = ["check_model"]

MOST_IMAGES = 32
"""Images that quantizers are calibrated on."""


def check_model(
    model: nn.Module,
    images: Tensor,
    prunings: Sequence[Pruning] = (),
    bits: QuantConfig | None = None,
    *,
    trainer: Trainer | None = None,
    name: str = "network",
) -> ModelCheck:
    """Find everything that training, pruning, quantization and lowering will refuse.

    Nothing is trained.

    Every step is carried out on the untrained model: methods are made and their masks computed,
    the model is quantized and lowered.

    Parameters
    ----------
    model : nn.Module
        With random or trained weights. It is not changed.
    images : Tensor of float, shape (N, *input_shape)
        Training images, or random ones in their range; a few are enough.
    prunings : sequence of Pruning
        Methods that :func:`compress_model` would be given.
    bits : QuantConfig, optional
        Bit widths; by default 8 bits everywhere.
    trainer : Trainer, optional
        Its data and recipe, with the teacher, are checked as training checks them. They also decide
        whether searches have enough images and schedules enough steps. Not checked by default.
    name : str
        Name of the integer network.

    Returns
    -------
    ModelCheck
        For engines, give its `network` to :func:`systolith.plan.plan_network`.

    Raises
    ------
    UsageError
        If an argument has a wrong type.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.RReLU(), nn.Conv2d(6, 4, 3, padding=3))
    >>> check = check_model(model, torch.rand(4, 1, 9, 9))
    >>> for problem in check.problems:
    ...     print(problem.step.value, problem.layer, "-", problem.remedy)
    quantization 1 - replace it by nn.LeakyReLU() and train some epochs
    quantization 2 - use padding smaller than the kernel
    >>> check.layers[0].group_sizes
    ()
    """
    optional = {} if trainer is None else {"trainer": trainer}
    check_arguments(model=model, images=images, prunings=prunings, bits=bits, **optional)
    bits = bits or QuantConfig()
    with warnings.catch_warnings(record=True) as own:  # of the model's code, and notes
        warnings.simplefilter("always", UserWarning)
        training = TrainingProbe() if trainer is None else trainer.probe(model, prunings)
        quantized, refused = _quantize(model, _choose_images(images), bits)
        reading = _read(model, images)
        groups, unfollowed = _find_groups(model, images)
    searches = () if trainer is None else hold_out_problems(trainer.data, prunings)
    rehearsing = trainer.without_problems() if trainer else _make_trainer(images)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        pruning = _rehearse(model, rehearsing, prunings, quantized)
        patterns = _find_patterns(model, prunings)
        network, unlowered = _lower(model, images, quantized, patterns or {}, name)
    texts = {
        CheckStep.TRAIN: _tell_once(model, training.problems, refused),
        CheckStep.PRUNE: [*searches, *pruning.problems, *(unfollowed if not refused else ())],
        CheckStep.QUANTIZE: refused,
        CheckStep.LOWER: unlowered,
    }
    layers = describe_layers(model, reading, groups, network)
    names = names_in_messages(model, layers, (text for part in texts.values() for text in part))
    by_name = {layer.name: layer for layer in layers}
    problems = [
        problem
        for step, part in texts.items()
        for problem in name_problems(step, dict.fromkeys(part), by_name, names)
    ]
    notes = () if quantized is None else quantized.notes
    known = _read_texts(own)
    schedules = [] if trainer is None else [t for t in _read_texts(caught) if t not in known]
    possible = [ModelProblem(step=CheckStep.TRAIN, text=text) for text in training.warnings]
    possible += [
        ModelProblem(step=CheckStep.PRUNE, text=text, remedy=remedy)
        for text, remedy in (*pruning.warnings, *((text, "") for text in schedules))
    ]
    return ModelCheck(
        problems=tuple(problems),
        warnings=tuple(dict.fromkeys(possible)),
        notes=notes,
        layers=layers,
        groups=groups,
        quantized=quantized,
        network=network,
        patterns_known=patterns is not None,
    )


def _tell_once(model: nn.Module, training: Sequence[str], refused: Sequence[str]) -> Sequence[str]:
    """Leave out weights that are not finite if quantization tells them layer by layer."""
    tensors = [*model.parameters(), *model.buffers()]
    broken = sum(not bool(tensor.isfinite().all()) for tensor in tensors if not is_lazy(tensor))
    if sum(NOT_FINITE in problem for problem in refused) < broken:
        return training  # only training knows layers that the model does not call
    weights = [text for text in weight_problems(model, "the model") if "must be finite" in text]
    return [text for text in training if text not in weights]


def _read_texts(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    return [str(warning.message) for warning in caught]


def _choose_images(images: Tensor) -> Tensor:
    """Take a few images, the darkest one among them: it decides whether a sign is needed."""
    if len(images) <= MOST_IMAGES or not images.is_floating_point():
        return images
    darkest = images.flatten(1).amin(dim=1).argmin()
    chosen = torch.linspace(0, len(images) - 1, MOST_IMAGES).long()
    return images[torch.cat([darkest[None].to(chosen.device), chosen])]


def _make_trainer(images: Tensor) -> Trainer | None:
    """Make a trainer whose data are these images; None if they are no inputs of a network."""
    if images.ndim not in (2, 3, 4) or images.dtype != torch.float32:
        return None
    labels = torch.zeros(len(images), dtype=torch.int64)
    data = Dataset(
        name="images",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
    )
    return Trainer(data=data)


def _quantize(
    model: nn.Module, images: Tensor, bits: QuantConfig
) -> tuple[QuantizedModel | None, Sequence[str]]:
    try:
        return prepare(model, images, bits), ()
    except UnsupportedModelError as error:
        return None, error.problems


def _read(model: nn.Module, images: Tensor) -> Reading:
    if images.is_floating_point() and images.ndim in (2, 3, 4) and images.numel():
        return read_layers(model, images.float())
    return Reading(layers=[], shapes={}, problems=(), network=None)


def _find_groups(
    model: nn.Module, images: Tensor
) -> tuple[tuple[ChannelGroup, ...], Sequence[str]]:
    try:
        return find_channel_groups(model, images[:2]), ()
    except PruneError as error:
        return (), error.problems


def _rehearse(
    model: nn.Module,
    trainer: Trainer | None,
    prunings: Sequence[Pruning],
    quantized: QuantizedModel | None,
) -> PruningFindings:
    if trainer is None:
        return PruningFindings()
    return rehearse_prunings(model, trainer, prunings, quantized)


def _find_patterns(model: nn.Module, prunings: Sequence[Pruning]) -> Mapping[str, Pattern] | None:
    try:
        return find_given_patterns(model, prunings)
    except PruneError:
        return None  # the rehearsal has reported it


def _lower(
    model: nn.Module,
    images: Tensor,
    quantized: QuantizedModel | None,
    patterns: Mapping[str, Pattern],
    name: str,
) -> tuple[IntegerNetwork | None, Sequence[str]]:
    """Mask and lower the untrained model."""
    if quantized is None:
        return None, ()
    try:
        masks = quantized_masks(quantized, ScorePruner(patterns=patterns).masks(model))
        if masks:
            quantized.freeze_masks_(masks)
            quantized.calibrate_(_choose_images(images).float())
        return lower(quantized, name=name), ()
    except (NetworkError, PruneError) as error:
        return None, error.problems

"""Trained weights from files, checked against the network before they are loaded."""

from collections.abc import Iterator, Mapping
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor, nn

from systolith.models.state_dicts import (
    WeightsError,
    find_unusable,
    read_state,
    strip_prefixes,
)

__all__ = ["load_weights"]

WITH_WEIGHTS = nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.Linear
"""Layers that may be the first one to multiply the images."""

HOOKS = {
    "_orig": "torch.nn.utils.prune.remove",
    "_g": "torch.nn.utils.remove_weight_norm",
    "_v": "torch.nn.utils.remove_weight_norm",
}
"""Suffixes of names that hooks leave in a state dict, and calls that remove the hooks."""
PARAMETRIZED = "parametrizations."


def load_weights(model: nn.Module, path: Path, *, input_scale: float = 1.0) -> None:
    """Load a checkpoint into a model, in place.

    Parameters
    ----------
    model : nn.Module
        The file may lack its frozen parameters and batch counters.
    path : Path
        A safetensors file, or a file of ``torch.save`` with a state dict, or with a dictionary that
        has one under a key such as ``state_dict``, ``model_state_dict`` or ``model``. Prefixes by
        DataParallel or torch.compile are removed. No code from the file is run.
    input_scale : float
        Pixel values of the training images divided by those of the model's input: 255 for weights
        trained on 0..255 with a data set of 0..1. The weights of the first convolution or linear
        layer, in the order of ``model.modules()``, are multiplied by it.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, names or shapes do not fit, or the scale is not positive;
        all problems are listed.
    """
    wanted = model.state_dict()
    given = strip_prefixes(read_state(path), wanted)
    optional = {name for name, value in model.named_parameters() if not value.requires_grad}
    optional |= {name for name in wanted if name.endswith("num_batches_tracked")}
    problems = [*_problems(wanted, given, optional), *find_unusable(given)]
    layers = [module for module in model.modules() if isinstance(module, WITH_WEIGHTS)]
    if not (isfinite(input_scale) and input_scale > 0):
        problems.append(f"input_scale must be a positive number, got {input_scale:g}")
    elif input_scale != 1 and not layers:
        problems.append(
            f"there is no convolution or Linear to scale by input_scale = {input_scale:g}"
        )
    if problems:
        raise WeightsError(problems, f"weights '{path}' do not fit the model")
    model.load_state_dict(given, strict=False)
    if input_scale != 1:
        with torch.no_grad():
            layers[0].weight.mul_(input_scale)


def _problems(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], optional: set[str]
) -> Iterator[str]:
    unknown = sorted(given.keys() - wanted.keys())
    for name in sorted(wanted.keys() - given.keys() - optional):
        yield f"'{name}' is missing"
    for name in unknown:
        yield f"'{name}' is in the file but not in the model{_remedy(name, wanted)}"
    for name, value in sorted(given.items()):
        if name in wanted and wanted[name].shape != value.shape:
            shapes = f"{tuple(wanted[name].shape)}, got {tuple(value.shape)}"
            yield f"'{name}' must have shape {shapes}"


def _remedy(name: str, wanted: Mapping[str, Tensor]) -> str:
    """Explain how to save a model without the hook that a name comes from."""
    if PARAMETRIZED in name:
        return " (saved with a parametrization: torch.nn.utils.parametrize.remove_parametrizations)"
    for ending, remove in HOOKS.items():
        if name.endswith(ending) and name.removesuffix(ending) in wanted:
            return f" (saved with a hook: call {remove} before)"
    return ""

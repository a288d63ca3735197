"""Trained weights from files, checked against the network before anything is changed."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

__all__ = ["load_weights"]


def load_weights(model: nn.Module, path: Path, *, input_scale: float = 1.0) -> None:
    """Load a safetensors file into a model, in place.

    Parameters
    ----------
    model : nn.Module
        Its frozen parameters and batch counters need not be in the file.
    path : Path
        Of the file.
    input_scale : float
        Images that the weights were trained on, divided by those that the model will get: 255 for
        weights that want pixels 0..255 where the data set has 0..1. The first convolution is scaled
        by it.

    Raises
    ------
    ValueError
        If the file is missing or damaged, or names or shapes do not fit; all problems are listed.
    """
    try:
        given = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"weights '{path}' cannot be read: {error}") from error
    wanted = model.state_dict()
    optional = {name for name, value in model.named_parameters() if not value.requires_grad}
    optional |= {name for name in wanted if name.endswith("num_batches_tracked")}
    problems = _problems(wanted, given, optional)
    if problems:
        raise ValueError(f"weights '{path}' do not fit the model: {'; '.join(problems)}")
    model.load_state_dict(given, strict=False)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear))
    with torch.no_grad():
        first.weight.mul_(input_scale)


def _problems(wanted: dict[str, Tensor], given: dict[str, Tensor], optional: set[str]) -> list[str]:
    missing = sorted(wanted.keys() - given.keys() - optional)
    unknown = sorted(given.keys() - wanted.keys())
    return [
        *(f"'{name}' is missing" for name in missing),
        *(f"'{name}' is in the file but not in the model" for name in unknown),
        *(
            f"'{name}' must have shape {tuple(wanted[name].shape)}, got {tuple(value.shape)}"
            for name, value in sorted(given.items())
            if name in wanted and wanted[name].shape != value.shape
        ),
    ]

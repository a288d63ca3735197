"""The device that a model is trained on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from systolith.train.errors import TrainingError

__all__ = ["DEVICES", "device_problems", "find_device", "float64_problems", "placed_on"]

CPU = torch.device("cpu")
DEVICES = ("auto", "cpu", "cuda", "mps")
"""Names of devices; "auto" is the first GPU if there is one."""


def find_device(name: str) -> torch.device:
    """Return the device of a name.

    Raises
    ------
    TrainingError
        If the name is unknown, or the machine has no such device.
    """
    TrainingError.raise_if_any(list(device_problems(name)))
    if name == "auto":
        return torch.device(next(iter(_find_gpus()), "cpu"))
    return torch.device(name)


def device_problems(name: Any) -> Iterator[str]:
    """Yield why a model cannot be trained on the device of this name."""
    present = ["cpu", *_find_gpus()]
    if name not in DEVICES:
        yield f"device must be one of {', '.join(DEVICES)}, got {name!r}"
    elif name not in ("auto", *present):
        yield (
            f"device '{name}' must be one that PyTorch finds here, which are {', '.join(present)}"
        )


def float64_problems(name: Any) -> Iterator[str]:
    """Yield why a device of this name, which may be wrong, cannot prune and train quantized."""
    if not any(device_problems(name)) and find_device(name).type == "mps":
        yield (
            "pruning and quantized training need a device with float64, which 'mps' has not; "
            "give device='cpu'"
        )


@contextmanager
def placed_on(device: torch.device, model: nn.Module) -> Iterator[None]:
    """Move a model to a device for the block, and then back to where its parameters were."""
    home = next((parameter.device for parameter in model.parameters()), CPU)
    try:
        model.to(device)
        yield
    finally:
        model.to(home)


def _find_gpus() -> list[str]:
    backends = {"cuda": torch.cuda, "mps": torch.mps}
    return [name for name, backend in backends.items() if backend.is_available()]

"""Arithmetic of training, and the order of pixels in memory that it is fast with."""

from collections.abc import Iterator, Sequence
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["Precision", "weight_problems"]

MOST_NAMES = 3
IMAGE_AXES = 4
"""N, C, H, W."""


class Precision(Enum):
    """Arithmetic of forward and backward; weights and their updates are always float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    """Convolutions and matrix products in bfloat16, with pixels in channels-last order.

    Two to three times as fast on processors and GPUs with bfloat16 multipliers; slower on others.
    """

    def arrange(self, images: Tensor) -> Tensor:
        """Return a batch in the order of its pixels; sequences and vectors have one order."""
        channels_last = self is Precision.BFLOAT16 and images.ndim == IMAGE_AXES
        order = torch.channels_last if channels_last else torch.contiguous_format
        return images.contiguous(memory_format=order)

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context in which a model runs with this arithmetic."""
        enabled = self is Precision.BFLOAT16
        return torch.autocast(device.type, torch.bfloat16, enabled=enabled)

    def arrange_(self, model: nn.Module) -> None:
        """Store the weights of a model in the order of the pixels."""
        if self is Precision.BFLOAT16:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def weight_problems(model: nn.Module, what: str) -> Iterator[str]:
    """Yield why a model cannot be trained, or cannot teach: types and values of its weights.

    Means and variances of batch norms count as weights. Lazy modules have none yet.

    Parameters
    ----------
    model : nn.Module
    what : str
        Name of the model in messages.
    """
    statistics = (
        (name, tensor)
        for name, tensor in model.named_buffers()
        if name.rpartition(".")[2] in ("running_mean", "running_var")
    )
    real = {
        name: tensor
        for name, tensor in (*model.named_parameters(), *statistics)
        if not is_lazy(tensor) and tensor.is_floating_point()
    }
    if wrong := [name for name, tensor in real.items() if tensor.dtype is not torch.float32]:
        yield (
            f"weights of {what} must be float32, but {_list_names(wrong)} has "
            f"{real[wrong[0]].dtype}: call its float()"
        )
    elif broken := [name for name, tensor in real.items() if not tensor.isfinite().all()]:
        names = _list_names(broken)
        yield f"weights of {what} must be finite, but {names} has NaN or infinite values"


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(f"'{name}'" for name in names[:MOST_NAMES]) + more

"""Files of tensors, and files of what is unfinished."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from systolith.foundation import replacing

__all__ = ["clear_checkpoints", "save_tensors"]


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors to a safetensors file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {
        name: tensor.contiguous(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    with replacing(path) as temporary:
        save_file(contiguous, temporary)


def clear_checkpoints(checkpoint: Path) -> None:
    """Remove all files whose names begin like this."""
    for path in checkpoint.parent.glob(f"{checkpoint.name}*"):
        path.unlink()

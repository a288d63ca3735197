"""The state of unfinished training in a file, so that it can be resumed with identical results."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from systolith.foundation import replacing
from systolith.prune import Sparsifier

__all__ = ["CheckpointError", "TrainingState", "clear_checkpoints", "save_state", "save_tensors"]


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that belongs to other training."""


@dataclass(slots=True, kw_only=True, eq=False)
class TrainingState:
    """Everything that the next step of training depends on.

    Parameters
    ----------
    model, optimizer, sparsifier
        Saved and restored by their ``state_dict``.
    generator : torch.Generator
        Of order and augmentation.
    settings : mapping of str to Any
        The arguments of training; a checkpoint of others is refused.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    sparsifier: Sparsifier | None
    generator: torch.Generator
    settings: Mapping[str, Any]

    def save(self, path: Path, epochs_done: int) -> None:
        """Write the state; the file is whole at any time."""
        content = {
            "settings": dict(self.settings),
            "epochs_done": epochs_done,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sparsifier": {} if self.sparsifier is None else self.sparsifier.state_dict(),
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
        }
        save_state(content, path)

    def load(self, path: Path) -> int:
        """Restore the state; return how many epochs were done.

        Raises
        ------
        CheckpointError
            If the file is damaged, or training had other arguments; each is named.
        """
        try:
            content = torch.load(path, weights_only=True)
            given = content["settings"]
        except Exception as error:
            reason = str(error).partition(". ")[0]
            raise CheckpointError(
                f"checkpoint '{path}' cannot be read; remove it to start anew: {reason}"
            ) from error
        if problems := list(_differences(self.settings, given)):
            raise CheckpointError(
                f"checkpoint '{path}' is of other training; remove it to start anew: "
                f"{'; '.join(problems)}"
            )
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.sparsifier is not None:
            self.sparsifier.load_state_dict(content["sparsifier"])
        self.generator.set_state(content["generator"])
        torch.set_rng_state(content["random"])
        return int(content["epochs_done"])


def save_state(content: Mapping[str, Any], path: Path) -> None:
    """Write what ``torch.load`` reads, whole or not at all.

    Raises
    ------
    OSError
        If it cannot be written; PyTorch itself would raise a RuntimeError on a full disk.
    """
    buffer = BytesIO()
    torch.save(dict(content), buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def clear_checkpoints(checkpoint: Path) -> None:
    """Remove all files whose names begin like `checkpoint`."""
    for path in checkpoint.parent.glob(f"{checkpoint.name}*"):
        path.unlink()


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors to a safetensors file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {
        name: tensor.contiguous(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    with replacing(path) as temporary:
        save_file(contiguous, temporary)


def _differences(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            yield f"{name} is {wanted.get(name)}, was {given.get(name)}"

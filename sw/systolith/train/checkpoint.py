"""Checkpoints: unfinished training resumes from a file with identical results."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from systolith.foundation import replacing
from systolith.prune import Sparsifier

__all__ = [
    "CheckpointError",
    "TrainingState",
    "clear_checkpoints",
    "load_state",
    "save_state",
    "save_tensors",
]


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that was written by other training."""


@dataclass(slots=True, kw_only=True, eq=False)
class TrainingState:
    """Everything that the next step of training depends on.

    Parameters
    ----------
    model, optimizer, sparsifier, average
        Saved and restored through their ``state_dict``.
    generator : torch.Generator
        Source of the order of images and of augmentation.
    device : torch.device
        Device of the model. A GPU has a generator of its own, for dropout.
    settings : mapping of str to Any
        Arguments of the training; a checkpoint with other arguments is refused.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    sparsifier: Sparsifier | None
    average: AveragedModel | None
    generator: torch.Generator
    device: torch.device
    settings: Mapping[str, Any]

    def save(self, path: Path, epochs_done: int) -> None:
        """Write the state, whole or not at all."""
        content = {
            "settings": dict(self.settings),
            "epochs_done": epochs_done,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sparsifier": {} if self.sparsifier is None else self.sparsifier.state_dict(),
            "average": {} if self.average is None else self.average.state_dict(),
            "generator": self.generator.get_state(),
            "random": torch.get_rng_state(),
            "random_by_gpu": _read_gpu_state(self.device),
        }
        save_state(content, path)

    def load(self, path: Path) -> int:
        """Restore the state; return the number of finished epochs.

        Raises
        ------
        CheckpointError
            If the file is damaged, or training had other arguments, another model or sparsifier;
            all differences are listed. The model is then unchanged.
        """
        content = load_state(path)
        problems = list(_differences(self.settings, content.get("settings") or {}))
        problems = problems or list(_other_tensors(self.model.state_dict(), content["model"]))
        if problems:
            raise CheckpointError(
                f"checkpoint '{path}' is of other training; remove it to start anew: "
                f"{'; '.join(problems)}"
            )
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.sparsifier is not None:
            self.sparsifier.load_state_dict(content["sparsifier"])
        if self.average is not None:
            self.average.load_state_dict(content["average"])
        self.generator.set_state(content["generator"])
        torch.set_rng_state(content["random"])
        _write_gpu_state(self.device, content.get("random_by_gpu", {}))
        return int(content["epochs_done"])


def load_state(path: Path) -> dict[str, Any]:
    """Read what :func:`save_state` wrote.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    try:
        content: dict[str, Any] = dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises errors of many types
        reason = str(error).partition(". ")[0] or type(error).__name__
        raise CheckpointError(
            f"checkpoint '{path}' cannot be read; remove it to start anew: {reason}"
        ) from error
    return content


def save_state(content: Mapping[str, Any], path: Path) -> None:
    """Write what ``torch.load`` reads, whole or not at all.

    Raises
    ------
    OSError
        If the file cannot be written; PyTorch would raise a RuntimeError on a full disk.
    """
    buffer = BytesIO()
    torch.save(dict(content), buffer)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def clear_checkpoints(checkpoint: Path) -> None:
    """Remove `checkpoint` and all files whose paths begin with it."""
    for path in checkpoint.parent.glob(f"{checkpoint.name}*"):
        path.unlink()


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors to a safetensors file, whole or not at all; each of several names in full."""
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {
        name: tensor.contiguous(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    places: set[int] = set()
    for name, tensor in contiguous.items():
        if (place := tensor.data_ptr()) in places:
            contiguous[name] = tensor.clone()
        places.add(place)
    with replacing(path) as temporary:
        save_file(contiguous, temporary)


def _read_gpu_state(device: torch.device) -> dict[str, Tensor]:
    """Return the state of a GPU's random numbers by type of device; empty for other devices."""
    match device.type:
        case "cuda":
            return {"cuda": torch.cuda.get_rng_state(device)}
        case "mps":
            return {"mps": torch.mps.get_rng_state()}
    return {}


def _write_gpu_state(device: torch.device, states: Mapping[str, Tensor]) -> None:
    """Continue the random numbers of a GPU, if training continues on one of the same type."""
    match device.type:
        case "cuda" if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], device)
        case "mps" if "mps" in states:
            torch.mps.set_rng_state(states["mps"])


def _other_tensors(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield each tensor of the model's state that one of them lacks, or whose shape differs."""
    for name in sorted(wanted.keys() | given.keys()):
        shapes = [
            str(tuple(state[name].shape)) if name in state else "missing"
            for state in (wanted, given)
        ]
        if shapes[0] != shapes[1]:
            yield f"the model's {name} is {shapes[0]}, was {shapes[1]}"


def _differences(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted(wanted.keys() | given.keys()):
        if wanted.get(name) != given.get(name):
            yield f"{name} is {wanted.get(name)}, was {given.get(name)}"

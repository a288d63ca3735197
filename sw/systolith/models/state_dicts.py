"""State dicts in files of safetensors and PyTorch, recognized by their content."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from systolith.foundation import ProblemsError

__all__ = ["KEYS", "PREFIXES", "find_unusable", "read_state", "strip_prefixes"]

KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Keys under which training scripts store a state dict beside epoch and optimizer."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""Prefixes of names from DataParallel, torch.compile, Lightning and wrappers."""
REMEDY = "save its state dict instead: torch.save(model.state_dict(), 'weights.pt')"
PICKLE, ZIP = b"\x80", b"PK\x03\x04"


class WeightsError(ProblemsError, ValueError):
    """A file of weights that cannot be read, or does not fit the model."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict. No code from the file is run.

    Parameters
    ----------
    path : Path
        A safetensors file, or a file of ``torch.save`` with a state dict, or with a dictionary that
        has one under one of :data:`KEYS`. The suffix does not matter.

    Raises
    ------
    WeightsError
        If the file is missing, damaged, of another kind, or does not hold exactly one state dict.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise _unreadable(path, str(error.strerror)) from error
    if not start.startswith((PICKLE, ZIP)):
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            reason = f"neither a safetensors file nor one that torch.save wrote ({error})"
            raise _unreadable(path, reason) from error
    return _state_in(_load(path), path)


def strip_prefixes(given: Mapping[str, Tensor], wanted: Mapping[str, Any]) -> dict[str, Tensor]:
    """Remove prefixes that all names have, unless the model's names have them, too."""
    stripped = dict(given)
    while True:
        for prefix in PREFIXES:
            if (
                stripped
                and all(name.startswith(prefix) for name in stripped)
                and not all(name.startswith(prefix) for name in wanted)
            ):
                stripped = {name.removeprefix(prefix): value for name, value in stripped.items()}
                break
        else:
            return stripped


def _load(path: Path) -> Any:
    if _is_program(path):
        raise _unreadable(path, f"it is a TorchScript or exported program; {REMEDY}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise errors of any type
        raise _unreadable(path, _reason(error)) from error


def _unreadable(path: Path, reason: str) -> WeightsError:
    return WeightsError([reason], f"weights '{path}' cannot be read")


def _reason(error: Exception) -> str:
    """Explain why PyTorch refuses a file, and what helps."""
    text = str(error)
    objects = re.findall(r"GLOBAL ([\w.]+)", text)
    if objects:
        return (
            f"it holds Python objects besides tensors ({objects[0]}), and to load these would run "
            f"code from the file; {REMEDY}"
        )
    return f"damaged, or not written by torch.save ({text.splitlines()[0] if text else 'empty'})"


def _is_program(path: Path) -> bool:
    """Whether a file is a PyTorch archive of a program instead of tensors."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return bool(names & {"constants.pkl", "archive_format", "serialized_exported_program.json"})


def _state_in(content: Any, path: Path) -> dict[str, Tensor]:
    """Find the only state dict in the content of a file."""
    if _is_state(content):
        return dict(content)
    keys = list(content) if isinstance(content, Mapping) else []
    state_keys = [key for key in KEYS if key in keys and _is_state(content[key])]
    if len(state_keys) == 1:
        return dict(content[state_keys[0]])
    known = ", ".join(f"'{key}'" for key in KEYS)
    if state_keys:
        given = "several: " + ", ".join(f"'{key}'" for key in state_keys)
    elif keys:
        given = "other keys: " + ", ".join(map(repr, keys[:8])) + (", .." if len(keys) > 8 else "")
    else:
        given = f"a {type(content).__name__}"
    problem = (
        f"weights '{path}' must hold a state dict, or one under one of the keys {known}; "
        f"it has {given}; {REMEDY}"
    )
    raise WeightsError([problem])


def _is_state(content: Any) -> bool:
    """Whether content is a non-empty dictionary of tensors by name."""
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, Tensor) for value in content.values())
    )


def find_unusable(given: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield a problem for each tensor that is no finite, dense, real one."""
    for name, value in sorted(given.items()):
        if value.is_quantized or value.is_complex() or value.is_sparse:
            kind = "quantized" if value.is_quantized else str(value.dtype)
            yield f"'{name}' must be a dense tensor of real numbers, got {kind}"
        elif value.is_floating_point() and not bool(torch.isfinite(value).all()):
            yield f"'{name}' has values that are not finite"

"""State dicts in files of safetensors and of PyTorch, told apart by what is in them."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

__all__ = ["KEYS", "PREFIXES", "find_unusable", "read_state", "strip_prefixes"]

KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Where training scripts put a state dict among the epoch, the optimizer and other things."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What DataParallel, torch.compile, Lightning and wrappers put before each name."""
REMEDY = "save its state dict instead: torch.save(model.state_dict(), 'weights.pt')"
PICKLE, ZIP = b"\x80", b"PK\x03\x04"


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict. No code from the file is run.

    Parameters
    ----------
    path : Path
        A safetensors file, or what ``torch.save`` wrote: a state dict, or a dictionary that has one
        under one of :data:`KEYS`. Its ending means nothing.

    Raises
    ------
    ValueError
        If the file is missing, damaged, of another kind, or holds no state dict, or several.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ValueError(f"weights '{path}' cannot be read: {error.strerror}") from error
    if not start.startswith((PICKLE, ZIP)):
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(
                f"weights '{path}' cannot be read: neither a safetensors file nor one that "
                f"torch.save wrote ({error})"
            ) from error
    return _state_in(_load(path), path)


def strip_prefixes(given: Mapping[str, Tensor], wanted: Mapping[str, Any]) -> dict[str, Tensor]:
    """Take away what wrappers have put before all names, unless the model has such names."""
    found = dict(given)
    while True:
        for prefix in PREFIXES:
            if (
                found
                and all(name.startswith(prefix) for name in found)
                and not all(name.startswith(prefix) for name in wanted)
            ):
                found = {name.removeprefix(prefix): value for name, value in found.items()}
                break
        else:
            return found


def _load(path: Path) -> Any:
    if _is_program(path):
        raise ValueError(
            f"weights '{path}' cannot be read: it is a TorchScript or exported program; {REMEDY}"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged pickles raise whatever comes next
        raise ValueError(f"weights '{path}' cannot be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Say why PyTorch refuses a file, and what to do."""
    text = str(error)
    objects = re.findall(r"GLOBAL ([\w.]+)", text)
    if objects:
        return (
            f"it holds Python objects besides tensors ({objects[0]}), and to load these would run "
            f"code from the file; {REMEDY}"
        )
    return f"damaged, or not written by torch.save ({text.splitlines()[0] if text else 'empty'})"


def _is_program(path: Path) -> bool:
    """Whether a file is an archive of PyTorch's that is no plain torch.save."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile):
        return False
    return bool(names & {"constants.pkl", "archive_format", "serialized_exported_program.json"})


def _state_in(content: Any, path: Path) -> dict[str, Tensor]:
    """Find the one state dict in what a file holds."""
    if _is_state(content):
        return dict(content)
    keys = list(content) if isinstance(content, Mapping) else []
    found = [key for key in KEYS if key in keys and _is_state(content[key])]
    if len(found) == 1:
        return dict(content[found[0]])
    known = ", ".join(f"'{key}'" for key in KEYS)
    if found:
        given = "several: " + ", ".join(f"'{key}'" for key in found)
    elif keys:
        given = "other keys: " + ", ".join(map(repr, keys[:8])) + (", .." if len(keys) > 8 else "")
    else:
        given = f"a {type(content).__name__}"
    raise ValueError(
        f"weights '{path}' must hold a state dict, or one under one of the keys {known}; it has "
        f"{given}; {REMEDY}"
    )


def _is_state(content: Any) -> bool:
    """Whether something is a dictionary of tensors by name, and not empty."""
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, Tensor) for value in content.values())
    )


def find_unusable(given: Mapping[str, Tensor]) -> Iterator[str]:
    """Name tensors that no float network can be loaded from."""
    for name, value in sorted(given.items()):
        if value.is_quantized or value.is_complex() or value.is_sparse:
            kind = "quantized" if value.is_quantized else str(value.dtype)
            yield f"'{name}' must be a dense tensor of real numbers, got {kind}"
        elif value.is_floating_point() and not bool(torch.isfinite(value).all()):
            yield f"'{name}' has values that are not finite"

"""Networks on disk: a JSON description beside a safetensors file, both checked on load.

``NAME.json`` holds the graph, ``NAME.safetensors`` the arrays. The JSON carries a hash of the whole
content, so a changed or damaged byte in either file is noticed.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from systolith.network.axes import (
    AllTaps,
    Dense,
    Granularity,
    KOutOfN,
    PerNeuron,
    Strided,
)
from systolith.network.errors import NetworkError, raise_if_any
from systolith.network.graph import IntegerNetwork, Tensor
from systolith.network.layers import (
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    Layer,
    Linear,
    MaxPool2d,
)
from systolith.network.numbers import ActType, Overflow, Requantize, Rounding
from systolith.network.pattern import Pattern

__all__ = ["content_hash", "load", "save"]

FORMAT = "systolith-network"
VERSION = 1

_LAYERS = (Conv2d, Linear, Add, MaxPool2d, AvgPool2d, Flatten)
_PARTS = (ActType, Requantize, Pattern, Dense, KOutOfN, PerNeuron, AllTaps, Strided)
_TYPES: Mapping[str, Callable[..., Any]] = {cls.__name__: cls for cls in (*_LAYERS, *_PARTS)}
_ENUMS: Mapping[str, type[Enum]] = {cls.__name__: cls for cls in (Rounding, Overflow, Granularity)}


def content_hash(network: IntegerNetwork) -> str:
    """Hash everything that makes the network what it is; equal networks have equal hashes."""
    description, tensors = _encode_network(network)
    return _hash(description, tensors)


def save(network: IntegerNetwork, path: Path) -> None:
    """Write `path` (.json) and the .safetensors beside it; each file is replaced whole.

    Parameters
    ----------
    network : IntegerNetwork
        The network.
    path : Path
        Name of the JSON file.
    """
    description, tensors = _encode_network(network)
    description["hash"] = _hash(description, tensors)
    arrays = path.with_suffix(".safetensors")
    _replace(arrays, save_tensors(tensors))
    _replace(path, (json.dumps(description, indent=1) + "\n").encode())


def load(path: Path) -> IntegerNetwork:
    """Read what :func:`save` wrote.

    Raises
    ------
    NetworkError
        If a file is missing, damaged or of another version, or the network breaks the contract;
        all problems of all layers are listed.
    """
    arrays = path.with_suffix(".safetensors")
    raise_if_any(f"{file}: no such file" for file in (path, arrays) if not file.is_file())
    try:
        description = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise NetworkError([f"{path}: damaged: not JSON ({error})"]) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise NetworkError([f"{path}: not a {FORMAT} file"])
    if description.get("version") != VERSION:
        raise NetworkError(
            [f"{path}: needs format version {VERSION}, got {description.get('version')}"]
        )
    try:
        tensors = load_tensors(arrays.read_bytes())
    except (SafetensorError, ValueError) as error:
        raise NetworkError([f"{arrays}: damaged: not safetensors ({error})"]) from error
    network = _decode_network(path, description, tensors)
    wanted = description.pop("hash", None)
    if wanted != (found := _hash(description, tensors)):
        raise NetworkError(
            [f"{path}: damaged: its content hashes to {found[:12]}, not {str(wanted)[:12]}"]
        )
    return network


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def _hash(description: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _encode_network(network: IntegerNetwork) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    tensors: dict[str, np.ndarray] = {}
    description = {
        "format": FORMAT,
        "version": VERSION,
        "name": network.name,
        "input": {"shape": list(network.input.shape), "type": _encode(network.input.type, "", {})},
        "layers": [_encode(layer, layer.name, tensors) for layer in network.layers],
        "outputs": list(network.outputs),
    }
    return description, tensors


def _encode(value: Any, where: str, tensors: dict[str, np.ndarray]) -> Any:
    """Turn contract objects into JSON values; arrays go to `tensors` under the name `where`."""
    if type(value).__name__ in _TYPES:
        encoded = {"kind": type(value).__name__}
        for part in fields(value):
            encoded[part.name] = _encode(getattr(value, part.name), f"{where}.{part.name}", tensors)
        return encoded
    if isinstance(value, Enum):
        return {"enum": type(value).__name__, "value": value.value}
    if isinstance(value, np.ndarray):
        tensors[where] = _narrow(value)
        return {"tensor": where}
    if isinstance(value, tuple):
        return [_encode(item, where, tensors) for item in value]
    return value


def _narrow(array: np.ndarray) -> np.ndarray:
    """Store integers in the narrowest type that holds them."""
    if array.dtype == np.bool_:
        return array
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= array.min() and array.max() <= np.iinfo(dtype).max:
            return array.astype(dtype)
    return array


def _decode_network(
    path: Path, description: Mapping[str, Any], tensors: Mapping[str, np.ndarray]
) -> IntegerNetwork:
    problems: list[str] = []
    layers: list[Layer] = []
    for number, encoded in enumerate(description.get("layers", [])):
        name = encoded.get("name", number) if isinstance(encoded, dict) else number
        kind = encoded.get("kind") if isinstance(encoded, dict) else None
        known = [cls.__name__ for cls in _LAYERS]
        if kind not in known:
            problems.append(f"layer '{name}': needs a kind of {', '.join(known)}, got {kind!r}")
            continue
        try:
            layers.append(_decode(encoded, tensors))
        except NetworkError as error:
            problems += error.problems
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"layer '{name}': cannot be read ({type(error).__name__}: {error})")
    raise_if_any(f"{path}: {problem}" for problem in problems)
    try:
        tensor = Tensor(
            tuple(description["input"]["shape"]), _decode(description["input"]["type"], tensors)
        )
        return IntegerNetwork(
            name=description["name"],
            input=tensor,
            layers=tuple(layers),
            outputs=tuple(description["outputs"]),
        )
    except NetworkError as error:
        raise NetworkError([f"{path}: {problem}" for problem in error.problems]) from error
    except (KeyError, TypeError, ValueError) as error:
        raise NetworkError([f"{path}: cannot be read ({type(error).__name__}: {error})"]) from error


def _decode(value: Any, tensors: Mapping[str, np.ndarray]) -> Any:
    if isinstance(value, list):
        return tuple(_decode(item, tensors) for item in value)
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "enum" in value:
        return _ENUMS[value["enum"]](value["value"])
    arguments = {name: _decode(item, tensors) for name, item in value.items() if name != "kind"}
    return _TYPES[value["kind"]](**arguments)

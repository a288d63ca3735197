"""Conversion of networks and patterns to JSON values and named arrays, and back."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from enum import Enum
from types import MappingProxyType
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from systolith.network._fields import is_name, repr_of
from systolith.network.axes import AllTaps, Dense, Granularity, KOutOfN, PerNeuron, Strided
from systolith.network.errors import NetworkError
from systolith.network.graph import IntegerNetwork
from systolith.network.layers import Layer
from systolith.network.numbers import ActType, Overflow, Requantize, Rounding
from systolith.network.pattern import Pattern
from systolith.network.tensor import Tensor

__all__ = [
    "Tensors",
    "decode_network",
    "decode_pattern",
    "encode_network",
    "encode_pattern",
    "hash_of",
]

Tensors = dict[str, NDArray[Any]]

_LAYERS = get_args(Layer)
_PARTS = (ActType, Requantize, Pattern, Dense, KOutOfN, PerNeuron, AllTaps, Strided)
_TYPES = MappingProxyType({kind.__name__: kind for kind in (*_LAYERS, *_PARTS)})
_ENUMS = MappingProxyType({kind.__name__: kind for kind in (Rounding, Overflow, Granularity)})
_LATER = MappingProxyType(
    {
        "Requantize": ("offset", "negative", "thresholds"),
        "Conv2d": ("dilation",),
        "MaxPool2d": ("dilation",),
        "AvgPool2d": ("counted",),
        "Add": ("left_shift", "shifts"),
        "Pad2d": ("edge",),
    }
)
"""Fields that early files of this version do not have; they are left out at their default."""
_NETWORK = ("name", "input", "layers", "outputs")
_TENSOR = ("shape", "type")


def hash_of(description: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> str:
    """Hash a description and its arrays: names, dtypes, shapes and values."""
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"{name!r} {array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def encode_network(network: IntegerNetwork) -> tuple[dict[str, Any], Tensors]:
    """Encode a network as JSON values and as arrays named layer.field."""
    tensors: Tensors = {}
    description = {
        "name": network.name,
        "input": {"shape": list(network.input.shape), "type": _encode(network.input.type, "", {})},
        "layers": [_encode(layer, layer.name, tensors) for layer in network.layers],
        "outputs": list(network.outputs),
    }
    return description, tensors


def encode_pattern(pattern: Pattern) -> dict[str, Any]:
    """Encode a pattern as JSON values."""
    encoded: dict[str, Any] = _encode(pattern, "", {})
    return encoded


def decode_pattern(value: Any) -> Pattern:
    """Decode a pattern from :func:`encode_pattern`; any value is accepted and checked.

    Raises
    ------
    NetworkError
        If the value describes something else; all problems are listed.
    """
    decoded = _decode(value, {}, set())
    if not isinstance(decoded, Pattern):
        raise NetworkError([f"must describe a pattern, got {repr_of(value)}"])
    return decoded


def _encode(value: Any, where: str, tensors: Tensors) -> Any:
    """Encode an object as JSON values; arrays go to `tensors` under the name `where`."""
    if type(value) in _TYPES.values():
        kind = type(value).__name__
        encoded = {"kind": kind}
        for part in fields(value):
            given = getattr(value, part.name)
            later = part.name in _LATER.get(kind, ())
            if later and not isinstance(given, np.ndarray) and given == part.default:
                continue
            encoded[part.name] = _encode(given, f"{where}.{part.name}", tensors)
        return encoded
    if isinstance(value, Enum):
        return {"enum": type(value).__name__, "value": value.value}
    if isinstance(value, np.ndarray):
        tensors[where] = _narrow(value)
        return {"tensor": where}
    if isinstance(value, tuple):
        return list(value)
    return value


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    """Store integers in the narrowest type that holds them."""
    if array.dtype == np.bool_:
        return array
    least, most = array.min(), array.max()
    for dtype in (np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= least and most <= np.iinfo(dtype).max:
            return array.astype(dtype)
    return array


def decode_network(description: Mapping[str, Any], tensors: Tensors) -> IntegerNetwork:
    """Decode a network from :func:`encode_network`; any value is accepted and checked.

    Raises
    ------
    NetworkError
        With all problems of all layers; those of the graph only if every layer is right.
    """
    problems = _key_problems(description, _NETWORK)
    NetworkError.raise_if_any(problems)
    unused = set(tensors)
    for key in ("layers", "outputs"):
        if not isinstance(description[key], list):
            problems.append(f"{key} must be a list, got {repr_of(description[key])}")
    layers = []
    for number, encoded in enumerate(description["layers"] if not problems else ()):
        try:
            layers.append(_decode_layer(encoded, number, tensors, unused))
        except NetworkError as error:
            problems += error.problems
    try:
        image = _decode_tensor(description["input"])
    except NetworkError as error:
        problems += [f"input: {problem}" for problem in error.problems]
    if not problems and unused:
        problems.append(f"tensors that no layer uses: {', '.join(map(repr_of, sorted(unused)))}")
    NetworkError.raise_if_any(problems)
    return IntegerNetwork(
        name=description["name"],
        input=image,
        layers=tuple(layers),
        outputs=tuple(description["outputs"]),
    )


def _decode_tensor(encoded: Any) -> Tensor:
    if not isinstance(encoded, dict):
        raise NetworkError([f"must have a shape and a type, got {repr_of(encoded)}"])
    NetworkError.raise_if_any(_key_problems(encoded, _TENSOR))
    return Tensor(encoded["shape"], _decode(encoded["type"], {}, set()))


def _decode_layer(encoded: Any, number: int, tensors: Tensors, unused: set[str]) -> Any:
    kind = encoded.get("kind") if isinstance(encoded, dict) else None
    name = encoded.get("name") if isinstance(encoded, dict) else None
    label = f"layer '{name}'" if is_name(name) else f"layer number {number}"
    known = [layer.__name__ for layer in _LAYERS]
    if kind not in known:
        raise NetworkError([f"{label}: needs a kind of {', '.join(known)}, got {repr_of(kind)}"])
    try:
        return _decode(encoded, tensors, unused)
    except NetworkError as error:
        # Constructors of layers have named the layer already.
        raise NetworkError(
            problem if problem.startswith("layer ") else f"{label}: {problem}"
            for problem in error.problems
        ) from error


def _decode(value: Any, tensors: Tensors, unused: set[str]) -> Any:
    """Decode JSON values; constructors check plain values."""
    if not isinstance(value, dict):
        return tuple(value) if isinstance(value, list) else value
    if value.keys() == {"tensor"}:
        name = value["tensor"]
        if not isinstance(name, str) or name not in tensors:
            raise NetworkError([f"tensor {repr_of(name)} is not in the safetensors file"])
        unused.discard(name)
        return tensors[name]
    if value.keys() == {"enum", "value"}:
        return _decode_enum(value["enum"], value["value"])
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise NetworkError([f"needs a kind of {', '.join(_TYPES)}, got {repr_of(kind)}"])
    wanted = [part.name for part in fields(_TYPES[kind])]
    absent = [name for name in _LATER.get(kind, ()) if name not in value]
    problems = _key_problems(value, ["kind", *(name for name in wanted if name not in absent)])
    arguments = {}
    for name in wanted:
        if name not in value:
            continue
        try:
            arguments[name] = _decode(value[name], tensors, unused)
        except NetworkError as error:
            problems += [
                problem if problem.startswith(name) else f"{name}: {problem}"
                for problem in error.problems
            ]
    NetworkError.raise_if_any(problems)
    return _TYPES[kind](**arguments)


def _decode_enum(kind: Any, value: Any) -> Enum:
    if isinstance(kind, str) and kind in _ENUMS:
        for member in _ENUMS[kind]:
            if member.value == value:
                return member
    raise NetworkError([f"{repr_of(value)} is no value of {repr_of(kind)}"])


def _key_problems(value: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    missing = [name for name in wanted if name not in value]
    unknown = [name for name in value if name not in wanted]
    return [f"needs the field '{name}', which is missing" for name in missing] + [
        f"has an unknown field {repr_of(name)}" for name in unknown
    ]

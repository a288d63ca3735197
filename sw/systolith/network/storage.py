"""Networks on disk: a JSON description and a safetensors file, both checked on load.

``NAME.json`` holds the graph, ``NAME.safetensors`` the arrays. The JSON carries a hash of the whole
content, so that a changed byte in either file is detected.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from systolith.foundation import replacing
from systolith.network._encoding import Tensors, decode_network, encode_network, hash_of
from systolith.network._fields import repr_of
from systolith.network.errors import NetworkError
from systolith.network.graph import IntegerNetwork

__all__ = ["content_hash", "load", "save"]

FORMAT = "systolith-network"
VERSION = 1


def content_hash(network: IntegerNetwork) -> str:
    """Hash the whole content of a network; equal networks have equal hashes.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hash_of(*_encode(network))


def save(network: IntegerNetwork, path: Path) -> None:
    """Write `path` (.json) and the .safetensors file beside it; each is replaced as a whole.

    An interrupted save leaves the old network, or, between the two replacements, files that
    :func:`load` refuses.

    Parameters
    ----------
    network : IntegerNetwork
        The network.
    path : Path
        Name of the JSON file, ending in ``.json``; its folder exists.

    Raises
    ------
    NetworkError
        If the path does not end in ``.json``.
    OSError
        If a file cannot be written.
    """
    path, arrays = _files(path)
    description, tensors = _encode(network)
    description["hash"] = hash_of(description, tensors)
    # The arrays are replaced first, and the description, which has their hash, last.
    with replacing(path) as new_path, replacing(arrays) as new_arrays:
        new_arrays.write_bytes(save_tensors(tensors))
        new_path.write_bytes((json.dumps(description, indent=1) + "\n").encode())


def load(path: Path) -> IntegerNetwork:
    """Read a network that :func:`save` wrote.

    Parameters
    ----------
    path : Path
        Name of the JSON file; the safetensors file is beside it.

    Raises
    ------
    NetworkError
        If a file is missing, unreadable, damaged or of another version, or the network is invalid;
        it lists the problems of all layers.
    """
    path, arrays = _files(path)
    NetworkError.raise_if_any(
        f"{file}: {'is a folder, but a file is needed' if file.is_dir() else 'no such file'}"
        for file in (path, arrays)
        if not file.is_file()
    )
    try:
        return _load(path, arrays)
    except OSError as error:
        raise NetworkError([f"{path}: cannot be read ({error.strerror or error})"]) from error
    except RecursionError as error:
        raise NetworkError([f"{path}: damaged: nested too deeply"]) from error


def _load(path: Path, arrays: Path) -> IntegerNetwork:
    description = _read_json(path)
    tensors = _read_tensors(arrays)
    problems = []
    wanted = description.pop("hash", None)
    if wanted != (actual := hash_of(description, tensors)):
        problems.append(
            f"damaged, or saved incompletely: {path.name} and {arrays.name} hash to {actual[:12]}, "
            f"but should hash to {repr_of(wanted)}"
        )
    description = {k: v for k, v in description.items() if k not in ("format", "version")}
    try:
        network = decode_network(description, tensors)
    except NetworkError as error:
        problems += error.problems
    NetworkError.raise_if_any(f"{path}: {problem}" for problem in problems)
    return network


def _read_json(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_bytes())
    except ValueError as error:
        raise NetworkError([f"{path}: damaged: not JSON ({error})"]) from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise NetworkError([f"{path}: not a {FORMAT} file"])
    version = description.get("version")
    if type(version) is not int or version != VERSION:
        raise NetworkError([f"{path}: needs format version {VERSION}, got {repr_of(version)}"])
    return description


def _read_tensors(path: Path) -> Tensors:
    try:
        return load_tensors(path.read_bytes())
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise NetworkError([f"{path}: damaged: not safetensors ({error})"]) from error


def _encode(network: IntegerNetwork) -> tuple[dict[str, Any], Tensors]:
    description, tensors = encode_network(network)
    return {"format": FORMAT, "version": VERSION, **description}, tensors


def _files(path: Path) -> tuple[Path, Path]:
    path = Path(path)
    if path.suffix != ".json":
        raise NetworkError([f"{path}: the path of a network must end in .json"])
    return path, path.with_suffix(".safetensors")

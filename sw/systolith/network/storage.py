"""Networks on disk: a JSON description beside a safetensors file, both checked on load.

``NAME.json`` holds the graph, ``NAME.safetensors`` the arrays. The JSON carries a hash of the whole
content, so a changed or damaged byte in either file is noticed.
"""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from systolith.network._encoding import Tensors, decode_network, encode_network, hash_of
from systolith.network._fields import repr_of
from systolith.network.errors import NetworkError
from systolith.network.graph import IntegerNetwork

__all__ = ["content_hash", "load", "save"]

FORMAT = "systolith-network"
VERSION = 1


def content_hash(network: IntegerNetwork) -> str:
    """Hash everything that makes the network what it is; equal networks have equal hashes.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hash_of(*_encode(network))


def save(network: IntegerNetwork, path: Path) -> None:
    """Write `path` (.json) and the .safetensors beside it; each file is replaced whole.

    A save that is interrupted leaves the old network, or, between the two last steps, files that
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
    contents = {
        arrays: save_tensors(tensors),
        path: (json.dumps(description, indent=1) + "\n").encode(),
    }
    written = {file: file.with_name(f".{file.name}.{os.getpid()}.tmp") for file in contents}
    try:
        for file, content in contents.items():
            written[file].write_bytes(content)
        for file, temporary in written.items():
            temporary.replace(file)
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)


def load(path: Path) -> IntegerNetwork:
    """Read what :func:`save` wrote.

    Parameters
    ----------
    path : Path
        Name of the JSON file; the arrays are beside it.

    Raises
    ------
    NetworkError
        If a file is missing, unreadable, damaged or of another version, or the network breaks the
        contract; all problems of all layers are listed.
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
    if wanted != (found := hash_of(description, tensors)):
        problems.append(
            f"damaged, or saved incompletely: {path.name} and {arrays.name} hash to {found[:12]}, "
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

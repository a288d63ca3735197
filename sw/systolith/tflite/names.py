"""Names of layers, from the names that converters give to tensors."""

import re
from collections.abc import Iterable

from systolith.network import INPUT, identifier

__all__ = ["name_layer"]


def name_layer(candidates: Iterable[str], kind: str, taken: Iterable[str]) -> str:
    """Name a layer after the layer of Keras in the name of a tensor.

    A tensor of several merged layers has all their names, joined by semicolons. The
    layer with a bias is the one that computes; without any, it is the last.

    Parameters
    ----------
    candidates : iterable of str
        Names of tensors, best first.
    kind : str
        Operator, for tensors without a usable name.
    taken : iterable of str
        Names of other layers.

    >>> merged = "model/activation/Relu;model/conv2d_1/BiasAdd;model/conv2d_2/Conv2D"
    >>> name_layer([merged], "CONV_2D", [])
    'conv2d_1'
    >>> name_layer(["Identity", "model/dense/MatMul"], "FULLY_CONNECTED", ["dense"])
    'dense_2'
    """
    used = {identifier(name) for name in (*taken, INPUT)}
    names = (name for candidate in candidates if (name := _layer_of(candidate)))
    base = next(names, kind.lower())
    name, number = base, 1
    while identifier(name) in used:
        number += 1
        name = f"{base}_{number}"
    return name


def _layer_of(tensor: str) -> str:
    """Find the layer in a tensor's name; an empty string if it names none."""
    parts = [path.split("/") for path in tensor.split(";")]
    paths = [path for path in parts if len(path) > 1]
    if not paths:
        return ""
    path = next((path for path in paths if "BiasAdd" in path), paths[-1])
    end = path.index("BiasAdd") if "BiasAdd" in path else len(path) - 1
    words = path[1:end] or path[:1]
    name = ".".join(re.sub(r"[^A-Za-z0-9_]", "_", word) for word in words if word)
    return f"n{name}" if name[:1].isdigit() else name

"""Networks that end with the class, which is then found by the hardware instead of the host."""

from collections.abc import Sequence
from dataclasses import replace

from systolith.network.errors import NetworkError
from systolith.network.graph import INPUT, IntegerNetwork, identifier
from systolith.network.layers import ArgMax, Flatten

__all__ = ["append_argmax", "gives_class"]


def append_argmax(network: IntegerNetwork, outputs: Sequence[str] | None = None) -> IntegerNetwork:
    """Replace outputs by their class: the number of the first greatest feature, or of each pixel.

    Parameters
    ----------
    network : IntegerNetwork
    outputs : sequence of str, optional
        Outputs to replace; the others stay. Default: all.

    Returns
    -------
    IntegerNetwork
        The class of output ``fc`` is layer ``fc_class``; outputs keep their order.

    Raises
    ------
    NetworkError
        With every output that is none of the network's, is a class already, or is a flattened
        image, whose features are not classes.

    Examples
    --------
    >>> import numpy as np
    >>> from systolith.network import ActType, MaxPool2d, Tensor, forward
    >>> network = IntegerNetwork(
    ...     input=Tensor((3, 1, 1), ActType(bits=4, signed=True)),
    ...     layers=(MaxPool2d(name="pool", input="input", kernel_size=(1, 1), stride=(1, 1)),),
    ... )
    >>> forward(append_argmax(network), np.array([[[[-3]], [[5]], [[5]]]]))
    {'pool_class': array([[[[1]]]])}
    """
    chosen = network.outputs if outputs is None else tuple(outputs)
    NetworkError.raise_if_any(
        problem for name in chosen for problem in _class_problems(network, name)
    )
    used = {identifier(layer.name) for layer in network.layers}
    layers, instead = list(network.layers), {name: name for name in network.outputs}
    for name in chosen:
        instead[name] = _unused(f"{name}_class", used)
        classes = network.tensors[name].shape[0]
        layers.append(ArgMax(name=instead[name], input=name, classes=classes))
    return replace(network, layers=tuple(layers), outputs=tuple(instead.values()))


def gives_class(network: IntegerNetwork, output: str) -> bool:
    """Whether an output is a class, or one for each pixel."""
    return isinstance(network[output], ArgMax)


def _class_problems(network: IntegerNetwork, name: str) -> list[str]:
    if name not in network.outputs:
        return [f"a class needs one of the outputs {', '.join(network.outputs)}, got {name!r}"]
    if gives_class(network, name):
        return [f"output '{name}' is a class already"]
    source = name
    while source != INPUT and isinstance(layer := network[source], Flatten):
        source = layer.input
    size = network.tensors[source].shape[1:]
    if source == name or all(length == 1 for length in size):
        return []
    image = f"output '{name}' is a flattened image of {size[0]} x {size[1]} pixels"
    return [f"{image} and has no class; leave the flattening out for the class of each pixel"]


def _unused(name: str, used: set[str]) -> str:
    while identifier(name) in used:
        name += "_"
    used.add(identifier(name))
    return name

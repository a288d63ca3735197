"""What a model returns: one tensor, or several in tuples, lists and dictionaries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from systolith.network import Shape

__all__ = ["SIGMOID", "Returned", "ReturnedTensor"]

SIGMOID = "sigmoid"
"""End that training towards values applies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedTensor:
    """A tensor that a model returns.

    Parameters
    ----------
    layer : str
        Name of the layer that computes it.
    end : str
        What turns it into probabilities, ``"softmax"`` or ``"sigmoid"``, if it was left out.
    shape : Shape, optional
        Of one image, if it is not that of the layer.
    places : Tensor of int64, optional
        Number of each of its values in the layer's result, if they are in another order.
    node : str
        Name of the recorded node with the layer's value; empty if `places` are given.
    """

    layer: str
    end: str = ""
    shape: Shape | None = None
    places: Tensor | None = None
    node: str = ""

    def arrange(self, values: Tensor) -> Tensor:
        """Bring a layer's result, shape (N, ...), into the order and shape of the tensor."""
        if self.places is not None:
            values = values.flatten(1)[:, self.places.to(values.device).flatten()]
        return values if self.shape is None else values.reshape(len(values), *self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """All tensors that a model returns, and the form in which it returns them.

    Parameters
    ----------
    tensors : tuple of ReturnedTensor
        Several may come from one layer.
    form : object
        What the model returns, with the number of each tensor in its place: nested tuples, lists
        and dictionaries of numbers; 0 for a single tensor.
    moves : tuple of str
        What only moves values and is left to the host, which :meth:`arrange` does.
    """

    tensors: tuple[ReturnedTensor, ...]
    form: Any = 0
    moves: tuple[str, ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers whose values are returned, each once."""
        return tuple(dict.fromkeys(tensor.layer for tensor in self.tensors))

    @property
    def ends(self) -> dict[str, str]:
        """What turns a layer's values into probabilities, by layer, where it was left out."""
        return {tensor.layer: tensor.end for tensor in self.tensors if tensor.end}

    def finish(self, outputs: Any) -> Any:
        """Apply the sigmoids that were left out to what :meth:`arrange` returned."""
        tensors = [
            tensor.sigmoid() if returned.end == SIGMOID else tensor
            for returned, tensor in zip(self.tensors, tree_leaves(outputs), strict=True)
        ]
        return tree_map(tensors.__getitem__, self.form)

    def arrange(self, values: Mapping[str, Tensor]) -> Any:
        """Arrange values of layers, by name, as the model returns them."""
        tensors = [tensor.arrange(values[tensor.layer]) for tensor in self.tensors]
        return tree_map(tensors.__getitem__, self.form)

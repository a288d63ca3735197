"""What a model returns: one tensor, or several in tuples, lists and dictionaries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

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
    is_sequence : bool
        Whether it is (N, C, L), without the row that hardware has.
    node : str
        Name of the recorded node with the layer's value.
    """

    layer: str
    end: str = ""
    is_sequence: bool = False
    node: str = ""


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
    """

    tensors: tuple[ReturnedTensor, ...]
    form: Any = 0

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
        tensors = [
            values[tensor.layer].squeeze(2) if tensor.is_sequence else values[tensor.layer]
            for tensor in self.tensors
        ]
        return tree_map(tensors.__getitem__, self.form)

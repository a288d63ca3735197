"""Which tensors of a file are which layers of the network that it became."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systolith.exchange.layers.draft import Draft
from systolith.exchange.values.layouts import file_order
from systolith.exchange.values.quantizer import InputQuantizer
from systolith.exchange.values.value import Integers, ModelInput, QuantizedActivation, Value
from systolith.network import INPUT, IntArray

__all__ = ["Counterpart", "find_counterparts"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counterpart:
    """A tensor of the file that has what a layer of the network gives.

    Attributes
    ----------
    tensor : str
    scale : float
        What one unit of the layer's output stands for.
    whole : bool
        Whether the tensor holds the layer's integers, or real numbers.
    places : array of int64 or None
    origin : float
        As of :class:`~systolith.exchange.values.value.QuantizedActivation`.
    """

    tensor: str
    scale: float
    whole: bool
    places: IntArray | None
    origin: float = 0.0

    def integers(self, values: NDArray[Any], zero_point: int) -> NDArray[np.float64]:
        """Read the tensor as integers of the layer; nothing is rounded, order is the file's."""
        real = np.asarray(values, dtype=np.float64)
        return real if self.whole else (real - self.origin) / self.scale + zero_point

    def arranged(self, integers: IntArray) -> IntArray:
        """Bring what the layer gives into the file's order."""
        return np.asarray(file_order(integers, self.places))


def find_counterparts(
    values: Mapping[str, Value],
    draft: Draft,
    outputs: Mapping[str, QuantizedActivation],
    tensors: Mapping[str, str],
) -> dict[str, Counterpart]:
    """Find a tensor for each layer that has one, and for the network's input.

    Parameters
    ----------
    values : dict of str to Value
        What the file's tensors stand for.
    made : Draft
        The network made of them.
    outputs, tensors : dict by layer
        What the network gives, and the tensors that it stands for.
    """
    found = {
        name: Counterpart(
            tensor=tensors[name],
            scale=act.scale,
            whole=isinstance(values.get(tensors[name]), Integers),
            places=act.places,
            origin=act.origin,
        )
        for name, act in outputs.items()
    }
    for tensor, value in values.items():
        match value:
            case ModelInput() if draft.input is not None and _is_input(value, draft.input):
                scale = draft.input.quantizer.scale
                found.setdefault(
                    INPUT, Counterpart(tensor=tensor, scale=scale, whole=False, places=None)
                )
            case QuantizedActivation() if not any(value.padding):
                found.setdefault(
                    value.layer,
                    Counterpart(
                        tensor=tensor,
                        scale=value.scale,
                        whole=False,
                        places=value.places,
                        origin=value.origin,
                    ),
                )
            case Integers(of=of, quantizer=quantizer) if not isinstance(of, ModelInput):
                act = draft.cache.get((of, quantizer))
                if act is not None and not any(act.padding):
                    found.setdefault(
                        act.layer,
                        Counterpart(tensor=tensor, scale=act.scale, whole=True, places=act.places),
                    )
            case _:
                pass
    return found


def _is_input(images: ModelInput, source: InputQuantizer) -> bool:
    """Whether a quantized tensor is just what the network reads."""
    if images.quantizer is None or images.integer is not None:
        return False
    mine, theirs = images.quantizer, source.quantizer
    return (
        mine.scale == theirs.scale
        and mine.type.zero_point == theirs.type.zero_point
        and (images.low, images.high) == (source.low, source.high)
        and len(images.steps) == len(source.steps)
        and np.array_equal(images.places, source.places)
    )

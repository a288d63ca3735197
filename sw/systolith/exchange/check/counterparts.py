"""The tensors of a file that correspond to layers of the imported network."""

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
    """The tensor of a file that holds the result of a layer.

    Attributes
    ----------
    tensor : str
    scale : float
        Real value of one unit of the layer's output.
    whole : bool
        Whether the tensor holds the layer's integers; otherwise it holds real numbers.
    places : array of int64 or None
    origin : float
        As in :class:`~systolith.exchange.values.value.QuantizedActivation`.
    shift : int
        Added to the tensor's integers to give the layer's, whose zero point may differ.
    """

    tensor: str
    scale: float
    whole: bool
    places: IntArray | None
    origin: float = 0.0
    shift: int = 0

    def to_integers(self, values: NDArray[Any], zero_point: int) -> NDArray[np.float64]:
        """Convert the tensor to the layer's units, without rounding, in the file's order."""
        real = np.asarray(values, dtype=np.float64)
        return real + self.shift if self.whole else (real - self.origin) / self.scale + zero_point

    def arrange(self, integers: IntArray) -> IntArray:
        """Bring the layer's result into the file's order."""
        return np.asarray(file_order(integers, self.places))


def find_counterparts(
    values: Mapping[str, Value],
    draft: Draft,
    outputs: Mapping[str, QuantizedActivation],
    tensors: Mapping[str, str],
) -> dict[str, Counterpart]:
    """Find the tensors of layers, and of the network's input; some layers have none.

    Parameters
    ----------
    values : dict of str to Value
        Values of the file's tensors.
    draft : Draft
        The network made from them.
    outputs, tensors : dict by layer
        Outputs of the network, and their tensors in the file.
    """
    by_layer = {
        name: Counterpart(
            tensor=tensors[name],
            scale=act.scale,
            whole=isinstance(values.get(tensors[name]), Integers),
            places=act.places,
            origin=act.origin,
            shift=_shift(values.get(tensors[name]), act),
        )
        for name, act in outputs.items()
    }
    for tensor, value in values.items():
        match value:
            case ModelInput() if draft.input is not None and _is_input(value, draft.input):
                scale = draft.input.quantizer.scale
                by_layer.setdefault(
                    INPUT, Counterpart(tensor=tensor, scale=scale, whole=False, places=None)
                )
            case QuantizedActivation() if not any(value.padding):
                by_layer.setdefault(
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
                    by_layer.setdefault(
                        act.layer,
                        Counterpart(
                            tensor=tensor,
                            scale=act.scale,
                            whole=True,
                            places=act.places,
                            shift=_shift(value, act),
                        ),
                    )
            case _:
                pass
    return by_layer


def _shift(value: Value | None, act: QuantizedActivation) -> int:
    """Subtract the zero point of the file's integers from that of the layer's."""
    if not isinstance(value, Integers):
        return 0
    return act.tensor.type.zero_point - value.quantizer.type.zero_point


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

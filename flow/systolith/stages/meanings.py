"""What the integers of a trained network stand for."""

from collections.abc import Sequence
from typing import Any

from systolith.data import Dataset
from systolith.emit import Meaning
from systolith.network import INPUT
from systolith.quant import QuantizedModel

__all__ = ["meaning_of"]


def meaning_of(model: QuantizedModel, data: Dataset, outputs: Sequence[str]) -> Meaning:
    """Collect the steps of quantizers, and how the data set's images are normalized.

    Parameters
    ----------
    model : QuantizedModel
    data : Dataset
        Whose images, in 0..1 or as its own factory gives them, are normalized first.
    outputs : sequence of str
        Output layers of the network.
    """

    def step(name: str) -> float:
        return float(model.quantizer(name).step.detach())

    normal: dict[str, list[Any]] = {}
    if data.mean is not None and data.deviation is not None:
        pairs = list(zip(data.mean, data.deviation, strict=True))
        normal = {
            "multiply_by": [[[1 / deviation]] for _, deviation in pairs],
            "add": [[[-mean / deviation]] for mean, deviation in pairs],
        }
    return Meaning(
        input_scale=step(INPUT),
        output_scales={name: step(name) for name in outputs},
        multiply_by=normal.get("multiply_by", [1.0]),
        add=normal.get("add", [0.0]),
        rounding="half_up",
    )

"""What an exported file cannot say: patterns of sparsity, in plain words and numbers."""

from typing import Any

import numpy as np

from systolith.network import (
    Conv2d,
    IntegerNetwork,
    KOutOfN,
    Linear,
    PerNeuron,
    Strided,
    encode_pattern,
)

__all__ = ["sidecar"]


def sidecar(network: IntegerNetwork) -> dict[str, Any]:
    """Name the pattern of each layer that has one.

    Returns
    -------
    dict
        Under ``layers``, by layer: ``pattern`` in words; ``encoded`` as in network files; ``k``,
        ``n`` and ``axis`` (the axis of the weights along which groups of n lie) of k-out-of-n;
        ``stride`` and ``offsets`` of strided taps; ``indices``: of each filter, the kept weights'
        places in its flattened weights.
    """
    layers: dict[str, Any] = {}
    for layer in network.layers:
        if not isinstance(layer, Conv2d | Linear) or layer.mask is None:
            continue
        pattern = layer.pattern
        entry: dict[str, Any] = {}
        match pattern.select:
            case KOutOfN() as select:
                entry = {
                    "k": select.k,
                    "n": select.n,
                    "axis": 1,
                    "granularity": select.granularity.value,
                    "shared_by": select.shared_by,
                }
            case PerNeuron() as neuron:
                entry = {"k": neuron.k, "n": int(layer.mask[0].size), "axis": None}
        if isinstance(pattern.taps, Strided):
            entry |= {"stride": pattern.taps.stride, "offsets": list(pattern.taps.offsets)}
        kept = [np.flatnonzero(mask).tolist() for mask in layer.mask.reshape(len(layer.mask), -1)]
        layers[layer.name] = {
            "pattern": str(pattern),
            "encoded": encode_pattern(pattern),
            **entry,
            "indices": kept,
        }
    return {"network": network.name, "layers": layers}

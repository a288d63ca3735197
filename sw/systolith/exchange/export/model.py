"""Export of integer networks to ONNX, with quantizers of QONNX or of ONNX itself."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, helper

from systolith.exchange.errors import ExchangeError
from systolith.exchange.export.float_sums import float_problems
from systolith.exchange.export.graph import Format
from systolith.exchange.export.layers import ExportGraph
from systolith.exchange.export.scales import (
    channel_factor,
    channel_offset,
    channel_slope,
    choose_scales,
    has_ties,
)
from systolith.exchange.file.loading import QONNX_DOMAIN
from systolith.foundation import replacing
from systolith.network import (
    FITTED_MULTIPLIER_BITS,
    Add,
    ArgMax,
    Conv2d,
    IntegerNetwork,
    KOutOfN,
    Linear,
    Overflow,
    PerNeuron,
    Requantized,
    Rounding,
    Strided,
    encode_pattern,
)

__all__ = ["describe_patterns", "export_model", "export_onnx"]

OPSET = 21
QONNX_OPSET = 2


def export_onnx(
    network: IntegerNetwork, path: Path | str, form: Format, *, input_scale: float = 1.0
) -> ModelProto:
    """Write an integer network as an ONNX file, with a sidecar file of its patterns.

    The scales are chosen so that the float graph computes the same integers: a layer's multiplier
    becomes part of the scales of its weights. Programs compute such files in float32. If
    multipliers are powers of two, and `input_scale` is one or no layer rounds ties to even, every
    value is equal; layers whose sums float32 does not hold are refused. Other multipliers are
    rounded to float32: single outputs may differ by one, where a sum is within that error of a
    rounding threshold.

    Parameters
    ----------
    network : IntegerNetwork
    path : Path or str
        Path of the model; the sidecar has the same name with the suffix ``.patterns.json``.
    form : Format
    input_scale : float
        Real value of one unit of the network's input.

    Raises
    ------
    ExchangeError
        If a layer wraps, because ONNX's quantizers saturate; if float32 does not hold its sums; or,
        with QONNX, if a layer rounds ties to even and has an odd zero point.
    """
    model, path = export_model(network, form, input_scale=input_scale), Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".patterns.json")
    for target, content in (
        (beside, (json.dumps(describe_patterns(network), indent=1) + "\n").encode()),
        (path, model.SerializeToString()),
    ):
        with replacing(target) as temporary:
            temporary.write_bytes(content)
    return model


def export_model(network: IntegerNetwork, form: Format, *, input_scale: float = 1.0) -> ModelProto:
    """Make the model that :func:`export_onnx` writes."""
    ExchangeError.raise_if_any(_problems(network, form))
    graph = ExportGraph(network, form, choose_scales(network, input_scale))
    for layer in network.layers:
        graph.add(layer)
    domains = [helper.make_opsetid("", OPSET)]
    if form is Format.QONNX:
        domains.append(helper.make_opsetid(QONNX_DOMAIN, QONNX_OPSET))
    return graph.make_model(domains)


def _problems(network: IntegerNetwork, form: Format) -> Iterator[str]:
    classes = {layer.name for layer in network.layers if isinstance(layer, ArgMax)}
    for layer in network.layers:
        if read := classes.intersection(layer.inputs):
            yield (
                f"layer '{layer.name}': reads the classes of '{min(read)}', which are integers in "
                "ONNX; classes can be outputs only"
            )
        if not isinstance(layer, Requantized):
            continue
        yield from _tflite_problems(layer)
        yield from float_problems(network, layer, form)
        if layer.requantize.thresholds is not None:
            continue
        to_even = layer.requantize.rounding is Rounding.HALF_EVEN and has_ties(network, layer)
        if form is Format.QONNX and to_even and layer.output.zero_point % 2:
            yield (
                f"layer '{layer.name}': rounds ties to even before adding zero point "
                f"{layer.output.zero_point}; QONNX adds it first, which differs as it is odd: "
                "export as qdq"
            )
        if layer.requantize.overflow is Overflow.SATURATE:
            continue
        least, most = layer.accumulator_range(network.inputs_of(layer))
        factors = [
            (channel_factor(layer.requantize, channel), channel_offset(layer.requantize, channel))
            for channel in range(network.tensors[layer.name].shape[0])
        ]
        # One unit more, for rounding.
        ends = [
            bound * factor * (channel_slope(layer.requantize, channel) if bound < 0 else 1) + by
            for channel, (factor, by) in enumerate(factors)
            for bound in (least, most)
        ]
        low, high = (end + layer.output.zero_point for end in (min(ends) - 1, max(ends) + 1))
        if low < layer.output.low or high > layer.output.high:
            yield f"layer '{layer.name}': wraps where it overflows; ONNX's quantizers saturate"


def _tflite_problems(layer: Requantized) -> Iterator[str]:
    """List what only layers of TFLite files have."""
    spec = layer.requantize
    if spec.rounding is Rounding.TFLITE:
        yield f"layer '{layer.name}': rounds twice, as TFLite does; ONNX's quantizers round once"
    if isinstance(layer, Add) and layer.shifts is not None:
        yield f"layer '{layer.name}': rounds its inputs before it adds them, as TFLite does"
    if spec.negative is not None and np.any((spec.multiplier == 0) & (spec.negative != 0)):
        yield f"layer '{layer.name}': keeps negative sums only; ONNX has no such function"
    lowest = np.maximum(spec.multiplier & -spec.multiplier, 1)
    bits = int((spec.multiplier // lowest).max()).bit_length()
    if bits > FITTED_MULTIPLIER_BITS:
        yield (
            f"layer '{layer.name}': has multipliers of {bits} significant bits; ONNX's scales have "
            f"{FITTED_MULTIPLIER_BITS}"
        )


def describe_patterns(network: IntegerNetwork) -> dict[str, Any]:
    """Describe the pattern of each layer that has one, which ONNX cannot express.

    Returns
    -------
    dict
        ``layers`` has for each layer: ``pattern``, in words; ``encoded``, as in network files;
        ``k``, ``n`` and ``axis`` of k-out-of-n (groups of n lie along this axis of the weights);
        ``stride`` and ``offsets`` of strided taps; ``indices``, for each filter the places of the
        kept weights in its flattened weights.
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

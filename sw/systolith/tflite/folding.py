"""Crops that become less padding of the convolution before them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from systolith.network import Conv2d, Layer, Pad2d, Padding, rename_inputs
from systolith.tflite.activation import Activation

__all__ = ["fold_crops"]


def fold_crops(
    layers: list[Layer], values: Mapping[int, Activation], outputs: Mapping[int, Activation]
) -> tuple[list[Layer], dict[int, Activation], dict[int, Activation]]:
    """Let convolutions pad less where the next layer drops the rows and columns.

    A SPACE_TO_BATCH_ND pads up to whole blocks, and its BATCH_TO_SPACE_ND drops what is too much.

    Parameters
    ----------
    layers : list of Layer
    values, outputs : mapping of int to Activation
        Results of layers, by number of tensor.

    Returns
    -------
    layers, values, outputs : list of Layer, dict of int to Activation, dict of int to Activation
        Without tensors that only the convolution with more padding computes.
    """
    readers = Counter(name for layer in layers for name in layer.inputs)
    ends = {x.layer for x in outputs.values()}
    named = {layer.name: layer for layer in layers}
    folded: dict[str, Conv2d] = {}
    for layer in layers:
        source = named.get(layer.inputs[0])
        if isinstance(layer, Pad2d) and isinstance(source, Conv2d):
            padding = _reduce_padding(source, layer)
            alone = readers[source.name] == 1 and source.name not in ends
            if padding is not None and alone:
                folded[layer.name] = replace(source, padding=padding)
    names = {crop: conv.name for crop, conv in folded.items()}
    made = {conv.name: conv for conv in folded.values()}
    kept = [
        rename_inputs(made.get(layer.name, layer), lambda name: names.get(name, name))
        for layer in layers
        if layer.name not in folded
    ]

    def follow(given: Mapping[int, Activation]) -> dict[int, Activation]:
        return {
            number: replace(x, layer=names.get(x.layer, x.layer))
            for number, x in given.items()
            if x.layer not in made
        }

    return kept, follow(values), follow(outputs)


def _reduce_padding(layer: Conv2d, crop: Pad2d) -> Padding | None:
    """Give the padding that makes the crop needless; None if there is none."""
    top, bottom, left, right = (a + b for a, b in zip(layer.padding, crop.padding, strict=True))
    fits = layer.stride == (1, 1) and max(crop.padding) <= 0 and min(top, bottom, left, right) >= 0
    return (top, bottom, left, right) if fits else None

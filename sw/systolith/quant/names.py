"""Names of a float model's layers in its quantized form, and back.

Layer ``layer1.0.conv1`` of the float model is ``layers.layer1_0_conv1`` in the quantized model,
because names in hardware have no dots.
"""

from collections.abc import Iterable, Iterator, Mapping

from systolith.network import Pattern
from systolith.prune import MaskSet, prunable_layers
from systolith.quant.config import UnsupportedModelError
from systolith.quant.model import QuantizedModel
from systolith.quant.recognition.sequences import image_batch

__all__ = ["float_masks", "quantized_masks", "quantized_names", "quantized_patterns"]


def quantized_names(model: QuantizedModel) -> dict[str, str]:
    """Names in `model` of all layers with weights, by their names in the float model."""
    layers = prunable_layers(model)
    names = {origin: f"layers.{name}" for name, origin in model.origins.items()}
    return {origin: name for origin, name in names.items() if name in layers}


def quantized_patterns(
    model: QuantizedModel, patterns: Mapping[str, Pattern]
) -> dict[str, Pattern]:
    """Rename patterns of a float model's layers for sparse training of its quantized form.

    Parameters
    ----------
    model : QuantizedModel
    patterns : mapping of str to Pattern
        By the layer's name in the float model, ``"layer1.0.conv1"``.

    Returns
    -------
    dict of str to Pattern
        By the layer's name in `model`, ``"layers.layer1_0_conv1"``, as all of
        :mod:`systolith.prune` takes them.

    Raises
    ------
    UnsupportedModelError
        Lists every name that is not a layer with weights, and every pattern that does not fit.
    """
    names = quantized_names(model)
    problems = list(_name_problems(patterns, names, "patterns", "layer"))
    for name, pattern in patterns.items():
        if name in names:
            try:
                model.network_pattern(names[name].removeprefix("layers."), pattern)
            except UnsupportedModelError as error:
                problems += error.problems
    UnsupportedModelError.raise_if_any(problems)
    return {names[name]: pattern for name, pattern in patterns.items()}


def quantized_masks(model: QuantizedModel, masks: MaskSet) -> MaskSet:
    """Rename masks of a float model's weights for :meth:`QuantizedModel.freeze_masks_`.

    Parameters
    ----------
    model : QuantizedModel
    masks : MaskSet
        By parameter name in the float model, ``"layer1.0.conv1.weight"``.

    Returns
    -------
    MaskSet
        By parameter name in `model`, ``"layers.layer1_0_conv1.weight"``.

    Raises
    ------
    UnsupportedModelError
        Lists every name that is not a weight of a layer.
    """
    return _renamed(
        masks, {f"{a}.weight": f"{b}.weight" for a, b in quantized_names(model).items()}
    )


def float_masks(model: QuantizedModel, masks: MaskSet) -> MaskSet:
    """Rename masks of a quantized model's weights back: the inverse of :func:`quantized_masks`.

    Masks of sequences keep their row axis, (F, C, 1, K), which the float model does not have.

    Raises
    ------
    UnsupportedModelError
        Lists every name that is not a weight of a layer.
    """
    return _renamed(
        masks, {f"{b}.weight": f"{a}.weight" for a, b in quantized_names(model).items()}
    )


def _renamed(masks: MaskSet, names: Mapping[str, str]) -> MaskSet:
    UnsupportedModelError.raise_if_any(_name_problems(masks, names, "masks", "weight"))
    return MaskSet(
        {names[name]: image_batch(mask) for name, mask in masks.items()},
        {names[name]: pattern for name, pattern in masks.patterns.items()},
    )


def _name_problems(
    given: Iterable[str], names: Mapping[str, str], what: str, kind: str
) -> Iterator[str]:
    for name in given:
        if name not in names:
            yield f"{what} must name a {kind} of {', '.join(names)}, got '{name}'"

"""Patterns and masks travel between a float model and its quantized form."""

import re
from copy import deepcopy

import pytest
import torch

from systolith.models import DigitsCNN, TinyResNet
from systolith.network import KOutOfN, Pattern, PerNeuron
from systolith.prune import MaskSet, PruneError, ScorePruner, prunable_layers
from systolith.quant import (
    QuantConv2d,
    QuantizedModel,
    UnsupportedModelError,
    float_masks,
    prepare,
    quantized_masks,
    quantized_patterns,
)

IMAGES = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TWO_OF_EIGHT = Pattern(select=KOutOfN(2, 8))


def _quantized() -> QuantizedModel:
    return prepare(TinyResNet(), IMAGES)


def test_all_layers_with_weights_have_a_name_on_both_sides() -> None:
    model = TinyResNet()
    dense = {name: Pattern() for name in prunable_layers(model)}
    quantized = prepare(model, IMAGES)
    assert set(quantized_patterns(quantized, dense)) == set(prunable_layers(quantized))


def test_patterns_by_names_with_dots() -> None:
    patterns = {"conv2.0": TWO_OF_EIGHT, "fc": Pattern(select=PerNeuron(3))}
    renamed = quantized_patterns(_quantized(), patterns)
    assert renamed == {"layers.conv2_0": TWO_OF_EIGHT, "layers.fc": Pattern(select=PerNeuron(3))}


def test_masks_survive_the_way_there_and_back() -> None:
    model = TinyResNet()
    masks = ScorePruner(patterns={"conv2.0": TWO_OF_EIGHT}).masks(model)
    quantized = prepare(model, IMAGES)
    there = quantized_masks(quantized, masks)
    assert list(there) == ["layers.conv2_0.weight"]
    back = float_masks(quantized, there)
    assert dict(back.patterns) == dict(masks.patterns)
    assert torch.equal(back["conv2.0.weight"], masks["conv2.0.weight"])


def test_freezing_renamed_masks_is_preparing_with_them() -> None:
    model = TinyResNet()
    masks = ScorePruner(patterns={"conv2.0": TWO_OF_EIGHT}).masks(model)
    quantized = prepare(model, IMAGES)
    quantized.freeze_masks_(quantized_masks(quantized, masks))
    prepared = prepare(model, IMAGES, masks=masks)
    for model in (quantized, prepared):
        layer = model.layer("conv2_0")
        assert isinstance(layer, QuantConv2d)
        assert layer.pattern == TWO_OF_EIGHT
        assert torch.equal(layer.mask, masks["conv2.0.weight"])
        assert not layer.quantized_weight()[~layer.mask].any()
        assert dict(model.masks().patterns) == {"layers.conv2_0.weight": TWO_OF_EIGHT}


def test_copies_keep_their_names_and_masks() -> None:
    quantized = _quantized()
    masks = ScorePruner(patterns={"layers.conv2_0": TWO_OF_EIGHT}).masks(quantized)
    quantized.freeze_masks_(masks)
    copied = deepcopy(quantized)
    assert list(float_masks(copied, copied.masks())) == ["conv2.0.weight"]


def test_reports_all_patterns_that_do_not_fit() -> None:
    message = (
        "3 problems:\n  - patterns must name a layer of conv1, conv2, conv3, fc, got 'conv9'"
        "\n  - patterns must name a layer of conv1, conv2, conv3, fc, got 'layers.conv2'"
        "\n  - layer 'conv3': 1-out-of-5 pruning needs input channels divisible by 5, got 32"
    )
    patterns = {
        "conv9": Pattern(),
        "conv3": Pattern(select=KOutOfN(1, 5)),
        "layers.conv2": Pattern(),
        "conv2": TWO_OF_EIGHT,
    }
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(message)}$"):
        quantized_patterns(prepare(DigitsCNN(), IMAGES), patterns)


def test_reports_all_masks_that_have_no_weight() -> None:
    mask = torch.ones(1, 2, dtype=torch.bool)
    masks = MaskSet(
        {"a.weight": mask, "b.weight": mask}, dict.fromkeys(["a.weight", "b.weight"], Pattern())
    )
    quantized = prepare(DigitsCNN(), IMAGES)
    names = "conv1.weight, conv2.weight, conv3.weight, fc.weight"
    message = (
        f"2 problems:\n  - masks must name a weight of {names}, got 'a.weight'"
        f"\n  - masks must name a weight of {names}, got 'b.weight'"
    )
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(message)}$"):
        quantized_masks(quantized, masks)
    with pytest.raises(UnsupportedModelError, match=r"layers\.conv1\.weight.+got 'a\.weight'"):
        float_masks(quantized, masks)


def test_freezing_reports_all_problems_and_changes_nothing() -> None:
    quantized = prepare(DigitsCNN(), IMAGES)
    before = {name: value.clone() for name, value in quantized.state_dict().items()}
    fits = ScorePruner(patterns={"layers.conv2": TWO_OF_EIGHT}).masks(quantized)
    wrong = torch.ones(1, 2, dtype=torch.bool)
    masks = {"conv2.weight": wrong, **fits, "layers.fc.weight": wrong}
    message = (
        "2 problems:\n  - masks must name a parameter of the model, got 'conv2.weight'"
        "\n  - mask of 'layers.fc.weight' must have the parameter's shape (10, 128), got (1, 2)"
    )
    with pytest.raises(PruneError, match=f"^{re.escape(message)}$"):
        quantized.freeze_masks_(
            MaskSet(masks, {**dict.fromkeys(masks, Pattern()), **fits.patterns})
        )
    assert all(torch.equal(before[name], v) for name, v in quantized.state_dict().items())

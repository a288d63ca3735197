"""Convolutions of several groups: read, trained, and lowered without a weight too many."""

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.network import (
    Conv2d,
    Granularity,
    KOutOfN,
    Pattern,
    PerNeuron,
    Strided,
    trace,
)
from systolith.prune import MaskSet, PruneError
from systolith.prune.topk import topk_mask
from systolith.quant import (
    QuantizedModel,
    UnsupportedModelError,
    prepare,
    quantized_masks,
    quantized_patterns,
)
from tests.support.written_models import IMAGES, assert_computes_the_same

STRIDED = Pattern(taps=Strided(2, (0, 1)))
REFUSED = "strided taps of a convolution of 2 groups need one offset for all channels, got [0, 1]"


class Calling(nn.Conv2d):
    """Calls the function itself."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, 1, groups=self.groups)


def _model(*middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8)
    with torch.no_grad():
        for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias):
            assert isinstance(values, Tensor)
            values.uniform_(0.5, 1.5)
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), *middle, norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()


def _grouped(size: int = 3) -> nn.Sequential:
    return _model(nn.Conv2d(4, 8, size, padding=size // 2, groups=2, bias=False))


def _masks(model: nn.Module, pattern: Pattern) -> MaskSet:
    mask = topk_mask(model.get_parameter("2.weight").detach().abs(), pattern)
    return MaskSet({"2.weight": mask}, {"2.weight": pattern})


def _check(quantized: QuantizedModel) -> Conv2d:
    """See that the network equals integer mode, and give its grouped layer."""
    network, integer = lower(quantized), IntegerModel(quantized)
    images = integer.quantize_input(IMAGES)
    expected, got = integer.trace(images), trace(network, images)
    assert expected.keys() == got.keys()
    assert all(np.array_equal(expected[name], got[name]) for name in expected)
    layer = network["layer_2"]
    assert isinstance(layer, Conv2d) and layer.weight.shape[:2] == (8, 4) and layer.groups == 1
    assert not layer.weight[:4, 2:].any() and not layer.weight[4:, :2].any()
    return layer


@pytest.mark.parametrize(
    "middle",
    [
        nn.Conv2d(4, 8, 3, padding=1, groups=2),
        nn.Conv2d(4, 8, (1, 2), stride=2, groups=2, bias=False),
        Calling(4, 8, 3, groups=2),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 8, 1, groups=2)),
    ],
)
def test_values_are_those_of_the_model(middle: nn.Module) -> None:
    model = _model(middle)
    assert_computes_the_same(model)
    layer = _check(prepare(model, IMAGES))
    assert str(layer.pattern) == "2-out-of-4 kernels shared by 4"


def test_a_batch_norm_before_is_folded_into_each_group() -> None:
    model = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3, groups=2))
    norm = model[0]
    with torch.no_grad():
        for values in norm.running_mean, norm.running_var, norm.weight, norm.bias:
            values.copy_(torch.tensor([0.5, 2.0, 0.25, 1.0]))
    assert_computes_the_same(model, torch.rand(6, 4, 6, 6))


def test_training_grows_no_weight_between_groups_and_names_are_the_models() -> None:
    model = _grouped()
    quantized = prepare(model, IMAGES)
    assert quantized.get_parameter("layers.layer_2.weight").shape == (8, 2, 3, 3)
    assert quantized.masks().patterns == {}
    optimizer = torch.optim.Adam(quantized.parameters(), 0.1)
    before = lower(quantized)["layer_2"]
    for _ in range(3):
        optimizer.zero_grad()
        quantized(IMAGES).square().sum().backward()
        optimizer.step()
    after = _check(quantized)
    assert isinstance(before, Conv2d)
    assert not np.array_equal(before.weight, after.weight)
    assert after.pattern == before.pattern


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(
    "pattern",
    [
        Pattern(select=KOutOfN(1, 2)),
        Pattern(select=KOutOfN(1, 2, Granularity.KERNEL, shared_by=2)),
        Pattern(select=PerNeuron(2)),
    ],
    ids=str,
)
def test_masks_of_the_models_weights_are_carried_over(pattern: Pattern, size: int) -> None:
    model = _grouped(size)
    masks = _masks(model, pattern)
    layer = _check(prepare(model, IMAGES, masks=masks))
    assert layer.mask is not None
    assert layer.mask.sum() == masks["2.weight"].sum()
    later = prepare(model, IMAGES)
    quantized_patterns(later, {"2": pattern})
    later.freeze_masks_(quantized_masks(later, masks))
    assert np.array_equal(_check(later).mask, layer.mask)


def test_a_pattern_that_no_engine_has_is_refused_by_name() -> None:
    model = _grouped()
    masks, problem = _masks(model, STRIDED), f"layer '2': {REFUSED}"
    quantized = prepare(model, IMAGES)
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(problem)}$"):
        prepare(model, IMAGES, masks=masks)
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(problem)}$"):
        quantized_patterns(quantized, {"2": STRIDED})
    before = quantized.get_parameter("layers.layer_2.weight").detach().clone()
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(problem)}$"):
        quantized.freeze_masks_(quantized_masks(quantized, masks))
    assert torch.equal(before, quantized.get_parameter("layers.layer_2.weight"))


def test_a_mask_of_the_whole_weight_is_refused() -> None:
    quantized = prepare(_grouped(), IMAGES)
    name = "layers.layer_2.weight"
    whole = MaskSet({name: torch.ones(8, 4, 3, 3, dtype=torch.bool)}, {name: Pattern()})
    with pytest.raises(PruneError, match="shape"):
        quantized.freeze_masks_(whole)

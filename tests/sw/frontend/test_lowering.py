"""What lowering puts into the contract."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn

from systolith.frontend import lower
from systolith.models import DigitsCNN, TinyResNet
from systolith.network import (
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    KOutOfN,
    Linear,
    MaxPool2d,
    NetworkError,
    Pattern,
    content_hash,
)
from systolith.prune import ScorePruner
from systolith.quant import QuantConfig, QuantizedModel, prepare
from tests.support.quantized_models import quantized_models

IMAGES = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TWO_OF_EIGHT = Pattern(select=KOutOfN(2, 8))


def _pruned() -> tuple[QuantizedModel, Tensor]:
    model = DigitsCNN()
    masks = ScorePruner(patterns={"conv2": TWO_OF_EIGHT}).masks(model)
    return prepare(model.eval(), IMAGES, masks=masks), masks["conv2.weight"]


def test_layers_are_the_modules_in_readable_names() -> None:
    model, _ = _pruned()
    network = lower(model, (1, 8, 8), name="digits")
    assert network.name == "digits"
    assert [(layer.name, type(layer)) for layer in network.layers] == [
        ("conv1", Conv2d),
        ("conv2", Conv2d),
        ("pool2", MaxPool2d),
        ("conv3", Conv2d),
        ("pool3", MaxPool2d),
        ("flatten", Flatten),
        ("fc", Linear),
    ]
    assert str(network.tensors["input"]) == "1x8x8 uint8"
    assert str(network.tensors["conv3"]) == "32x4x4 uint8"
    assert str(network.tensors["fc"]) == "10 int16"


def test_patterns_and_masks_are_carried_into_the_layers() -> None:
    model, mask = _pruned()
    network = lower(model)
    conv2, conv3 = network["conv2"], network["conv3"]
    assert isinstance(conv2, Conv2d) and isinstance(conv3, Conv2d)
    assert conv2.pattern == TWO_OF_EIGHT
    assert conv2.mask is not None and np.array_equal(conv2.mask, mask.numpy())
    assert not conv2.weight[~conv2.mask].any()
    assert conv3.pattern.is_dense and conv3.mask is None


def test_residual_networks_have_every_kind_of_layer() -> None:
    network = lower(prepare(TinyResNet(), IMAGES))
    kinds = {layer.name: type(layer) for layer in network.layers}
    assert kinds["add"] is Add
    assert kinds["pool"] is kinds["adaptive_avg_pool2d"] is AvgPool2d
    depthwise = network["depthwise_0"]
    assert isinstance(depthwise, Conv2d)
    assert depthwise.groups == 16 and depthwise.weight.shape == (16, 1, 3, 3)


def test_relu6_is_a_clamp() -> None:
    layer = nn.Conv2d(1, 2, 1)
    nn.init.ones_(layer.weight)
    model = prepare(nn.Sequential(layer, nn.ReLU6()), IMAGES * 100)
    (conv,) = lower(model).layers
    assert isinstance(conv, Conv2d) and conv.requantize.clamp is not None
    low, high = conv.requantize.clamp
    step = model.quantizer("layer_0").step.item()
    assert low == 0 and abs(high * step - 6) <= step / 2


def test_bias_is_at_accumulator_scale() -> None:
    layer = nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(0.5)
    model = prepare(nn.Sequential(layer), torch.ones(1, 1, 1, 1))
    (conv,) = lower(model).layers
    assert isinstance(conv, Conv2d)
    # Input 1.0 is 255 units, weight 1.0 is 127: half of their product.
    assert conv.weight.item() == 127
    assert abs(conv.bias.item() - 0.5 * 255 * 127) <= 1


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(quantized_models())
def test_all_channels_of_a_layer_share_one_shift(model: QuantizedModel) -> None:
    for layer in lower(model).layers:
        if isinstance(layer, Conv2d | Linear | Add | AvgPool2d):
            assert layer.requantize.shift.size == 1


def test_power_of_two_mode_needs_no_multiplier() -> None:
    model = prepare(DigitsCNN().eval(), IMAGES, QuantConfig(power_of_two=True))
    for layer in lower(model).layers:
        if isinstance(layer, Conv2d | Linear):
            assert layer.requantize.power_of_two
    model = prepare(TinyResNet().eval(), IMAGES, QuantConfig(power_of_two=True))
    for layer in lower(model).layers:
        if isinstance(layer, Add):
            assert layer.requantize.power_of_two
            assert all(m & (m - 1) == 0 for m in layer.multipliers)
        if isinstance(layer, Conv2d | Linear | AvgPool2d):
            assert layer.requantize.power_of_two, "all windows have an area of 4 or 16"


def test_lowering_is_deterministic() -> None:
    assert content_hash(lower(_pruned()[0])) == content_hash(lower(_pruned()[0]))


def test_what_the_contract_does_not_hold_is_refused_with_the_layer() -> None:
    model, _ = _pruned()
    layer = model.layer("fc")
    with torch.no_grad():
        layer.bias.fill_(1e12)
    with pytest.raises(NetworkError, match=r"^layer 'fc': bias must fit 40 bits signed, got .+$"):
        lower(model)


def test_the_problems_of_all_layers_are_reported_at_once() -> None:
    model, _ = _pruned()
    with torch.no_grad():
        for name in ("conv2", "fc"):
            model.layer(name).bias.fill_(1e12)
    with pytest.raises(NetworkError, match="(?s)^2 problems:.*layer 'conv2': .*layer 'fc': "):
        lower(model)


def test_a_kept_weight_of_zero_has_no_single_bit() -> None:
    quantized = prepare(DigitsCNN(), IMAGES, QuantConfig(weight_bits=1))
    with torch.no_grad():
        quantized.layer("conv2").weight[0, 0, 0, 0] = 0.0
    message = r"^layer 'conv2': 1-bit weights must be -1 or \+1 wherever they are kept$"
    with pytest.raises(NetworkError, match=message):
        lower(quantized)

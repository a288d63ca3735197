import re

import pytest
import torch
from torch import Tensor, nn

from systolith.models import DigitsCNN, TinyResNet
from systolith.models._blocks import identity_shortcut
from systolith.network import ActType, KOutOfN, Pattern
from systolith.prune import MaskSet, ScorePruner
from systolith.quant import (
    LayerBits,
    QuantConfig,
    QuantConv2d,
    QuantLinear,
    UnsupportedModelError,
    prepare,
)

IMAGES = torch.rand(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def _uint(bits: int) -> ActType:
    return ActType(bits=bits, signed=False)


def _model() -> DigitsCNN:
    """A model whose batch norms do something."""
    model = DigitsCNN(seed=1).train()
    for _ in range(20):
        model(IMAGES)
    return model.eval()


def test_eight_bits_stay_close_to_the_float_model() -> None:
    model = _model()
    logits = model(IMAGES)
    quantized = prepare(model, IMAGES)(IMAGES)
    assert (quantized - logits).abs().max() < 0.05 * logits.abs().max()


def test_leaves_the_model_as_it_is() -> None:
    model = _model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training = prepare(model, IMAGES)
    training(IMAGES).sum().backward()
    torch.optim.SGD(training.parameters(), lr=1.0).step()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_same_images_give_the_same_model() -> None:
    first, again = prepare(_model(), IMAGES), prepare(_model(), IMAGES)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_types_follow_the_activations_and_logits_are_wide() -> None:
    model = prepare(DigitsCNN(), IMAGES)
    types = {wiring.name: model.quantizer(wiring.name).act_type for wiring in model.wirings}
    eight = _uint(8)
    assert types == {
        "conv1": eight,
        "conv2": eight,
        "pool2": eight,
        "conv3": eight,
        "pool3": eight,
        "flatten": eight,
        "fc": ActType(bits=16, signed=True),
    }
    assert model.input_quantizer.act_type == eight


def test_a_linear_residual_branch_is_signed_and_averages_follow_their_input() -> None:
    model = prepare(TinyResNet(), IMAGES)
    assert model.quantizer("conv2_0").act_type.signed
    assert not model.quantizer("add").act_type.signed
    assert not model.quantizer("pool").act_type.signed


def test_the_last_pool_leaves_wide_integers() -> None:
    model = prepare(
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), IMAGES
    )
    assert model.quantizer("layer_0").act_type.bits == 8
    assert model.quantizer("layer_2").act_type == ActType(bits=16, signed=True)


def test_an_inner_layer_that_is_read_twice_is_not_widened() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)
            self.pool = nn.MaxPool2d(3, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            y: Tensor = self.pool(x)
            return y + x

    model = prepare(Twice(), IMAGES)
    assert model.quantizer("conv").act_type.bits == 8
    assert model.quantizer("add").act_type.bits == 16


def test_bits_by_qualified_or_readable_name() -> None:
    config = QuantConfig(
        weight_bits=4,
        act_bits=5,
        input_bits=3,
        output_bits=10,
        layers={
            "conv1.0": LayerBits(weight_bits=2),
            "conv2_0": LayerBits(act_bits=7),
            "add": LayerBits(act_bits=6),
        },
    )
    model = prepare(TinyResNet(), IMAGES, config)
    weights = {
        wiring.name: layer.weight_quantizer.bits
        for wiring, layer in model.named_layers()
        if isinstance(layer, QuantConv2d | QuantLinear)
    }
    acts = {wiring.name: model.quantizer(wiring.name).act_type.bits for wiring in model.wirings}
    assert weights["conv1_0"] == 2 and set(weights.values()) == {2, 4}
    assert (acts["conv1_0"], acts["conv2_0"], acts["add"], acts["fc"]) == (5, 7, 6, 10)
    assert model.input_quantizer.act_type.bits == 3


def test_masks_are_frozen() -> None:
    model = _model()
    masks = ScorePruner(patterns={"conv2": Pattern(select=KOutOfN(2, 8))}).masks(model)
    quantized = prepare(model, IMAGES, masks=masks)
    layer = quantized.layer("conv2")
    assert isinstance(layer, QuantConv2d)
    optimizer = torch.optim.SGD(quantized.parameters(), lr=0.1)
    for _ in range(2):
        quantized(IMAGES).square().sum().backward()
        assert not layer.weight.grad[~masks["conv2.weight"]].any()
        optimizer.step()
    assert not layer.quantized_weight()[~masks["conv2.weight"]].any()
    assert layer.pattern == Pattern(select=KOutOfN(2, 8))


def _frozen_shortcut() -> nn.Sequential:
    """A fixed 1x1 convolution that passes 2 channels on, with zeros on both sides of them."""
    shortcut = identity_shortcut(2, 4, 2)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), shortcut)


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_fixed_shortcut_stays_exact_while_others_train(bits: int, power_of_two: bool) -> None:
    config = QuantConfig(weight_bits=bits, power_of_two=power_of_two)
    quantized = prepare(_frozen_shortcut(), IMAGES, config).train()
    shortcut = quantized.layer("layer_2")
    assert isinstance(shortcut, QuantConv2d)
    before = shortcut.quantized_weight()
    optimizer = torch.optim.SGD(quantized.parameters(), lr=0.1)
    quantized(IMAGES).square().mean().backward()
    optimizer.step()
    expected = torch.zeros(4, 2, 1, 1)
    expected[1, 0] = expected[2, 1] = 1.0
    assert torch.equal(before, expected)
    assert torch.equal(shortcut.quantized_weight(), expected)
    assert not shortcut.bias.any()
    assert not any(
        p.requires_grad for name, p in shortcut.named_parameters() if "output" not in name
    )
    integers = shortcut.integers(torch.tensor(1.0))
    assert torch.equal(integers.weight != 0, expected != 0)


def test_a_step_over_zeros_is_no_finer_than_its_neighbours() -> None:
    shortcut = prepare(_frozen_shortcut(), IMAGES).layer("layer_2")
    assert isinstance(shortcut, QuantConv2d)
    step = shortcut.weight_quantizer.step
    assert torch.equal(step, step.max().expand(4))


def test_images_in_bytes_are_the_integers_themselves() -> None:
    quantizer = prepare(DigitsCNN(), IMAGES / IMAGES.max()).input_quantizer
    pixels = torch.arange(256)
    assert torch.equal(quantizer.integers(pixels / 255), pixels)


def test_reports_names_masks_and_images_that_do_not_fit() -> None:
    message = (
        "4 problems:\n  - bits must name a layer of conv1, conv2, pool2, conv3, pool3, flatten, "
        "fc, got 'conv4'"
        "\n  - masks must name a weight of conv1.weight, conv2.weight, conv3.weight, fc.weight, "
        "got 'conv5.weight'"
        "\n  - mask of 'fc.weight' must have shape (10, 128), got (1, 2)"
        "\n  - images of an unsigned input must not be negative, got -0.5; set input_signed=True"
    )
    mask = torch.ones(1, 2, dtype=torch.bool)
    names = ["conv5.weight", "fc.weight"]
    masks = MaskSet(dict.fromkeys(names, mask), dict.fromkeys(names, Pattern()))
    config = QuantConfig(layers={"conv4": LayerBits(act_bits=4)})
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(message)}$"):
        prepare(DigitsCNN(), IMAGES - 0.5 - IMAGES.min(), config, masks)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            torch.zeros(2, 1, 8, 8, dtype=torch.int64),
            (
                r"^calibration images must be float of shape \(N, C, H, W\), \(N, C, L\) or "
                r"\(N, features\), "
                r"got torch\.int64 \(2, 1, 8, 8\)$"
            ),
        ),
        (torch.full((2, 1, 8, 8), torch.nan), r"^calibration images must be finite$"),
        (
            torch.zeros(2, 3, 8, 8),
            r"^images of shape \(2, 3, 8, 8\) do not fit the model: .+$",
        ),
    ],
)
def test_refuses_images(images: Tensor, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        prepare(DigitsCNN(), images)


def test_refuses_what_pytorch_broadcasts_but_hardware_does_not() -> None:
    class Broadcast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3)
            self.fc = nn.Linear(6, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            x = x + nn.functional.adaptive_avg_pool2d(x, 1)
            y: Tensor = self.fc(x)
            return y

    message = "'fc' (Linear): needs vectors, got (1, 6, 6); flatten before it"
    with pytest.raises(UnsupportedModelError, match=f"^{re.escape(message)}$"):
        prepare(Broadcast(), IMAGES)


def test_problems_behind_a_refused_call_are_reported_too() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.Softmax2d(),
        nn.ReLU(),
        nn.Conv2d(2, 2, 5, padding_mode="circular"),
        nn.Tanh(),
        nn.BatchNorm2d(2),
        nn.AvgPool2d(2, divisor_override=-1),
        nn.ReLU(),
        nn.Flatten(),
    )
    with torch.no_grad():
        model[3].weight[0] = torch.nan
    config = QuantConfig(layers={"conv9": LayerBits(act_bits=4), "1": LayerBits(act_bits=4)})
    with pytest.raises(UnsupportedModelError) as caught:
        prepare(model, torch.rand(4, 1, 11, 11) - 0.5, config)
    parts = [
        "'3' (Conv2d): needs padding_mode 'zeros'",
        "'6' (AvgPool2d): ",
        "'1' (Softmax2d): needs to be the very last",
        "bits must name a layer",
        "an unsigned input must not be negative",
        "'3' (Conv2d): needs finite numbers",
    ]
    assert len(caught.value.problems) == len(parts), caught.value
    for part, problem in zip(parts, caught.value.problems, strict=True):
        assert part in problem

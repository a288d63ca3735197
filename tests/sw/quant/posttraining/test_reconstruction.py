"""Reconstruction of whole networks: closer to the float network, exact on masks."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn
from torch.nn import functional as F

from systolith.frontend import IntegerModel, lower
from systolith.models import TinyResNet
from systolith.network import IntegerNetwork, KOutOfN, Pattern, content_hash
from systolith.prune import ScorePruner, all_convolutions_but_first
from systolith.quant import (
    PostTraining,
    QuantConfig,
    QuantizedModel,
    UnsupportedModelError,
    WeightRounding,
    prepare,
    reconstruct_,
)
from systolith.quant.posttraining import measure_moments
from tests.support.quantized_models import quantized_models

NEAREST, RECONSTRUCTED = WeightRounding.NEAREST, WeightRounding.RECONSTRUCTED


def _images(count: int, seed: int) -> Tensor:
    """Smooth images, as photographs are."""
    noise = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
    images: Tensor = F.interpolate(noise, (8, 8), mode="bilinear")
    return images


def _error(model: nn.Module, config: QuantConfig, post_training: PostTraining) -> float:
    quantized = prepare(model.eval(), _images(64, 0), config)
    reconstruct_(quantized, _images(64, 0), post_training)
    images = _images(64, 1)
    with torch.no_grad():
        return float((quantized(images) - model(images)).square().mean())


@pytest.mark.parametrize("seed", range(3))
def test_each_part_brings_outputs_closer_on_other_images(seed: int) -> None:
    config = QuantConfig(weight_bits=4)
    nearest, corrected, both = (
        _error(
            TinyResNet(seed=seed),
            config,
            PostTraining(rounding=rounding, bias_correction=correction),
        )
        for rounding, correction in [(NEAREST, False), (NEAREST, True), (RECONSTRUCTED, True)]
    )
    assert both < 0.7 * corrected < 0.7 * nearest


def test_masks_are_kept_and_the_result_depends_on_the_images_only() -> None:
    model = TinyResNet().eval()
    patterns = all_convolutions_but_first(model, Pattern(select=KOutOfN(2, 4)))
    masks = ScorePruner(patterns=patterns).masks(model)

    def make() -> IntegerNetwork:
        quantized = prepare(model, _images(64, 0), QuantConfig(weight_bits=4), masks)
        reconstruct_(quantized, _images(64, 0))
        for name, mask in quantized.masks().items():
            layer = quantized.layer(name.split(".")[1])
            integers = layer.integers(torch.tensor(1.0)).weight
            assert not integers[~mask].any() and integers[mask].any()
        return lower(quantized)

    torch.manual_seed(1)
    first = make()
    torch.manual_seed(2)
    assert content_hash(first) == content_hash(make())


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(quantized_models())
def test_random_models_can_be_reconstructed_and_lowered(model: QuantizedModel) -> None:
    scale = model.input_quantizer.step * model.input_quantizer.act_type.high
    images = torch.rand(8, *model.input_shape) * scale.detach()
    before = {name: parameter.dtype for name, parameter in model.named_parameters()}
    reconstruct_(model, images)
    lower(model)
    assert {name: parameter.dtype for name, parameter in model.named_parameters()} == before
    integer = IntegerModel(model)
    with torch.no_grad():
        last = model.wirings[-1].name
        units = model.eval()(images) / model.quantizer(last).step
    assert torch.equal(units.double().round().long(), integer.logits(images))


def test_means_of_channels_become_those_of_the_float_network() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3)).eval()
    images = _images(64, 0)
    config = QuantConfig(weight_bits=2, output_bits=16)
    quantized = prepare(model, images, config)
    reconstruct_(quantized, images, PostTraining(rounding=NEAREST))
    with torch.no_grad():
        difference = (quantized(images) - model(images)).mean((0, 2, 3))
        unit = quantized.input_quantizer.step * quantized.layer("layer_0").weight_quantizer.step
        assert (difference.abs() <= unit / 2 + quantized.quantizer("layer_0").step).all()


def test_frozen_weights_stay() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3)).eval().requires_grad_(False)
    quantized = prepare(model, _images(64, 0), QuantConfig(weight_bits=4))
    reconstruct_(quantized, _images(64, 0))
    assert torch.equal(quantized.layer("layer_0").weight, model[0].weight)
    assert torch.equal(quantized.layer("layer_0").bias, model[0].bias)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_moments_are_those_of_the_layer_itself(groups: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 8, (3, 2), stride=(1, 2), padding=(1, 0), groups=groups)
    quantized = prepare(nn.Sequential(conv).eval(), torch.rand(8, 4, 6, 6))
    layer, inputs = quantized.layer("layer_0"), torch.rand(8, 4, 6, 6)
    with torch.no_grad():
        outputs = conv(inputs)
        moments = measure_moments(layer, inputs, outputs)
    weight = conv.weight.detach().double().reshape(groups, 8 // groups, -1)
    means = (weight @ moments.input_means[:, :, None])[:, :, 0].flatten() + conv.bias.double()
    assert torch.allclose(means.float(), outputs.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(
        moments.output_means.flatten().float(), outputs.mean((0, 2, 3)), atol=1e-5
    )
    centered = moments.centered()
    # A layer's own outputs are explained by its own weights.
    assert torch.allclose(weight @ centered.gram, centered.cross, atol=1e-5)


@pytest.mark.parametrize("value", [0.3, 7.0, 255.0])
def test_inputs_that_do_not_change_are_no_obstacle(value: float) -> None:
    """Their covariances are noise of the sums, which no factorization survives."""
    model = TinyResNet().eval()
    images = _images(32, 0)
    quantized = prepare(model, images, QuantConfig(weight_bits=4))
    reconstruct_(quantized, torch.full((3, 1, 8, 8), value), PostTraining())
    assert all(bool(tensor.isfinite().all()) for tensor in quantized.state_dict().values())
    integers = IntegerModel(quantized).logits(images).argmax(1)
    assert torch.equal(integers, quantized(images).argmax(1))


@pytest.mark.parametrize("count", [1, 2])
def test_one_image_is_enough(count: int) -> None:
    quantized = prepare(TinyResNet().eval(), _images(32, 0))
    reconstruct_(quantized, _images(count, 1))
    assert bool(quantized(_images(8, 2)).isfinite().all())


def test_images_that_do_not_fit_are_refused_and_nothing_changes() -> None:
    quantized = prepare(TinyResNet().eval(), _images(32, 0))
    before = {name: tensor.clone() for name, tensor in quantized.state_dict().items()}
    shape = r"^reconstruction needs float images of shape \(N, 1, 8, 8\), N at least 1, got "
    wrong = {
        r"torch.float32 \(0, 1, 8, 8\)$": _images(2, 0)[:0],
        r"torch.float32 \(1, 8, 8\)$": _images(1, 0)[0],
        r"torch.uint8 \(2, 1, 8, 8\)$": _images(2, 0).byte(),
    }
    for given_shape, images in wrong.items():
        with pytest.raises(UnsupportedModelError, match=shape + given_shape):
            reconstruct_(quantized, images)
    with pytest.raises(UnsupportedModelError, match="^images must be finite$"):
        reconstruct_(quantized, _images(2, 0) / 0)
    assert all(torch.equal(before[name], now) for name, now in quantized.state_dict().items())


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (
            nn.Sequential(
                nn.Conv1d(3, 8, 3, padding=1),
                nn.ReLU(),
                nn.ConvTranspose1d(8, 6, 4, 2, 1, groups=2),
                nn.ReLU(),
                nn.ConvTranspose1d(6, 4, 3, 3),
            ),
            (3, 12),
        ),
        (
            nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(8, 6, (3, 4), (1, 2), 1),
                nn.ReLU(),
                nn.ConvTranspose2d(6, 4, 3, 2),
            ),
            (3, 6, 6),
        ),
    ],
    ids=["sequences", "images"],
)
def test_transposed_convolutions_are_reconstructed(
    model: nn.Sequential, shape: tuple[int, ...]
) -> None:
    """All phases of a filter share its step and its bias; missing taps stay 0."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        with torch.no_grad():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
    images = torch.rand(64, *shape, generator=generator)
    errors = []
    with torch.no_grad():
        wanted = model.eval()(images)
        for settings in (None, PostTraining(bias_correction=False), PostTraining()):
            quantized = prepare(model, images, QuantConfig(weight_bits=3)).eval()
            if settings is not None:
                reconstruct_(quantized, images, settings)
            errors.append(float((quantized(images) - wanted).square().mean()))
    assert errors[0] > 1.5 * errors[1] and errors[0] > 1.5 * errors[2]

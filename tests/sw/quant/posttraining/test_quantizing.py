"""One call quantizes a trained model as the two calls do that it consists of."""

import torch
from torch import nn

from systolith.frontend import IntegerModel, lower
from systolith.network import content_hash
from systolith.quant import (
    PostTraining,
    QuantConfig,
    WeightRounding,
    prepare,
    quantize_trained,
    reconstruct_,
)
from tests.support.written_models import IMAGES


def _model() -> nn.Module:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)
    return nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()


def test_is_prepared_and_reconstructed() -> None:
    config = QuantConfig(weight_bits=4)
    expected = prepare(_model(), IMAGES, config)
    reconstruct_(expected, IMAGES)
    quantized = quantize_trained(_model(), IMAGES, config)
    assert content_hash(lower(quantized)) == content_hash(lower(expected))
    assert not quantized.training
    step = quantized.quantizer("layer_4").step
    assert torch.equal(quantized(IMAGES), IntegerModel(quantized).logits(IMAGES) * step)


def test_takes_settings() -> None:
    settings = PostTraining(rounding=WeightRounding.NEAREST, bias_correction=False)
    quantized = quantize_trained(_model(), IMAGES, settings=settings)
    assert content_hash(lower(quantized)) == content_hash(lower(prepare(_model(), IMAGES)))

"""NaN, infinities, dtypes, devices and single images: the right network, or a clear refusal."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from systolith.compress import check_model
from systolith.frontend import IntegerModel, lower
from systolith.network import KOutOfN, NetworkError, Pattern
from systolith.prune import ReconstructingPruner, measure_batch_norms
from systolith.quant import UnsupportedModelError, prepare
from systolith.train import evaluate
from tests.support.written_models import IMAGES, assert_computes_the_same, problems_of


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)
    ).eval()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_no_numbers_are_named(value: float) -> None:
    model = _net()
    with torch.no_grad():
        model[0].weight[1, 1, 1, 1] = value
        model[1].running_var[2] = value
        model[1].weight[2] = value
        model[4].bias[:2] = value
    reason = "needs finite numbers, but"
    assert problems_of(model) == [
        f"'0' (Conv2d): {reason} 1 of 108 of its weight are NaN or infinite",
        f"batch norm of '0': {reason} 1 of 4 of its weight are NaN or infinite",
        f"batch norm of '0': {reason} 1 of 4 of its running_var are NaN or infinite",
        f"'4' (Linear): {reason} 2 of 5 of its bias are NaN or infinite",
    ]


def test_values_that_overflow_are_named() -> None:
    model = _net()
    with torch.no_grad():
        for parameter in (model[0].weight, model[4].weight):
            parameter.fill_(1e30)
    (problem,) = problems_of(model)
    assert problem == "'4' (Linear): gives infinite values, or none, for the calibration images"


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_models_in_float64_and_images_of_any_float(norm: bool, dtype: torch.dtype) -> None:
    model = _net().double()
    if not norm:
        model[1] = nn.Identity()
    quantized = prepare(model, IMAGES.to(dtype))
    assert all(p.dtype is torch.float32 for p in quantized.parameters())
    expected = model(IMAGES.double())
    assert (quantized(IMAGES) - expected).abs().max() < 0.06 * expected.abs().max()
    assert lower(quantized).layers


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_refused(dtype: torch.dtype) -> None:
    model = _net()
    model[1].to(dtype)
    model[4].to(dtype)
    assert problems_of(model, IMAGES.to(dtype)) == [
        f"'1' (BatchNorm2d): needs float32 weights, got {dtype}; call model.float()",
        f"'4' (Linear): needs float32 weights, got {dtype}; call model.float()",
    ]


def test_models_without_weights_yet_are_refused() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 4, 3))
    reason = "needs weights, but they are on the meta device, without values"
    assert problems_of(model) == [f"'0' (Conv2d): {reason}"]
    (problem,) = problems_of(nn.Sequential(nn.LazyConv2d(4, 3)))
    assert problem == "'0' (LazyConv2d): has no weights yet; run the model on images once, before"


def test_torchscript_is_refused() -> None:
    model = _net()
    for scripted in (torch.jit.trace(model, IMAGES), nn.Sequential(torch.jit.script(model))):
        (problem,) = problems_of(scripted)
        assert "is TorchScript, whose operations cannot be seen" in problem


def test_a_module_alone_is_refused_with_a_rewrite() -> None:
    assert problems_of(nn.Conv2d(3, 4, 3)) == [
        "'Conv2d' (model): needs to be part of a model; give nn.Sequential(model)"
    ]


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="^a model must be a torch.nn.Module, got dict"):
        prepare({}, IMAGES)


def test_one_image_and_models_in_training() -> None:
    model = _net()
    assert_computes_the_same(model, IMAGES[:1])
    model.train()
    trained = prepare(model, IMAGES)
    assert model.training
    torch.testing.assert_close(trained(IMAGES), prepare(model.eval(), IMAGES)(IMAGES))


def test_images_that_do_not_fit_name_the_layer() -> None:
    (problem,) = problems_of(_net(), torch.rand(2, 3, 9, 9))
    assert problem == (
        "images of shape (2, 3, 9, 9) do not fit the model: '4' (Linear): mat1 and mat2 shapes "
        "cannot be multiplied (2x196 and 144x5)"
    )


@pytest.mark.parametrize(
    "images", [IMAGES[:0], (IMAGES * 255).to(torch.uint8), IMAGES[0, 0, 0], IMAGES.bool()]
)
def test_other_images_are_refused(images: Tensor) -> None:
    (problem,) = problems_of(_net(), images)
    assert problem == (
        "calibration images must be float of shape (N, C, H, W), (N, C, L) or (N, features), "
        f"got {images.dtype} {tuple(images.shape)}"
    )


@pytest.mark.parametrize("use", [lower, IntegerModel])
def test_steps_and_weights_that_training_made_nan_are_named(use: Callable[..., object]) -> None:
    quantized = prepare(_net(), IMAGES)
    with torch.no_grad():
        quantized.layer("layer_0").weight[0, 0, 0, 0] = torch.nan
        quantized.layer("layer_4").output.log2_step.fill_(torch.inf)
    message = (
        "^2 problems:\n  - layer 'layer_0': needs finite numbers, but 1 of 108 of its weight are "
        "NaN or infinite\n  - layer 'layer_4': needs finite numbers, but 1 of 1 of its "
        "output.log2_step are NaN or infinite$"
    )
    with pytest.raises(NetworkError, match=message):
        use(quantized)


def test_integer_images_are_not_quantized_again() -> None:
    quantized = prepare(_net(), IMAGES)
    model = IntegerModel(quantized)
    pixels = (IMAGES * 255).to(torch.uint8)
    message = r"^images to quantize must be float, got torch.uint8; integers are what the network "
    for images in (pixels, pixels.numpy()):
        with pytest.raises(NetworkError, match=message):
            model.quantize_input(images)
        with pytest.raises(NetworkError, match=message):
            model.logits(torch.as_tensor(images))
        with pytest.raises(UnsupportedModelError, match="^images must be float, got torch.uint8$"):
            quantized(torch.as_tensor(images))
    with pytest.raises(NetworkError, match="^images must be integers, got torch.float32; quantize"):
        model(IMAGES)
    with pytest.raises(NetworkError, match="^images must be finite$"):
        model.quantize_input(torch.full((1, 3, 8, 8), torch.nan))
    message = r"^images must have shape \(N, 3, 8, 8\), got \(8, 8\)$"
    with pytest.raises(NetworkError, match=message):
        model.quantize_input(torch.zeros(8, 8))


class ChangesItsInput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        x *= 2
        return self.fc(x.flatten(1))


def test_models_that_change_their_input_leave_the_images() -> None:
    model = ChangesItsInput()
    images = torch.rand(6, 3, 2, 2)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    before = images.clone()
    expected = model(images.clone()).argmax(1)
    for _ in range(2):
        assert evaluate(model, images, labels) == int((expected == labels).sum()) / 6
    measure_batch_norms(model, images)
    ReconstructingPruner(patterns={"fc": Pattern(select=KOutOfN(1, 2))}, images=images).prune_(
        deepcopy(model)
    )
    check_model(model, images)
    prepare(model, images)
    assert torch.equal(images, before)

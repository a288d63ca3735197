"""What hls4ml has read is compared with the user's model, in floating point."""

import traceback
from pathlib import Path
from typing import Any

import hls4ml
import keras
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from systolith.hls4ml_backend import ConversionError
from systolith.hls4ml_backend.user_model import NotComparable, UserInputs, run_user_model
from systolith.network import trace
from tests.flow.hls4ml_backend.comparing import convert, problems, quantized
from tests.flow.hls4ml_backend.keras_models import keras_config, many_layers
from tests.flow.hls4ml_backend.random_doors import (
    Case,
    keras_case,
    onnx_case,
    pytorch_case,
    silence,
)


class Weighted(nn.Module):
    """A residual block whose addition counts one branch twice."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.add(self.a(x), self.b(x), alpha=2))


def test_factors_of_additions_that_hls4ml_ignores_are_refused(tmp_path: Path) -> None:
    model = Weighted()
    (found,) = problems(model, quantized(model, (4,)), tmp_path)
    assert found.startswith("layer 'add' (Merge)") and "PyTorch" in found


def test_sizes_that_are_rounded_up_are_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True))
    (found,) = problems(model, quantized(model, (1, 6, 6)), tmp_path)
    assert found.startswith("layer '_2'") and "the shape (2, 2, 2)" in found
    assert "in the PyTorch model (3, 3, 2)" in found


def test_hooks_that_change_a_layer_are_refused(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    model[0].register_forward_hook(lambda module, inputs, output: output + 1)
    (found,) = problems(model, quantized(model, (4,)), tmp_path)
    assert found.startswith("layer '_0' (Dense)")


def dilated(folder: Path, **given: Any) -> Any:
    entry = keras.layers.Input((9, 7, 2))
    x = keras.layers.Conv2D(2, 1, name="first", activation="relu")(entry)
    layer = keras.layers.Conv2D(3, 3, dilation_rate=2, padding="same", name="wide")
    model = keras.Model(entry, layer(x))
    return hls4ml.converters.convert_from_keras_model(
        model,
        hls_config=keras_config(model),
        backend="Systolith",
        output_dir=str(folder),
        **given,
    )


def test_dilations_that_do_not_change_the_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"layer 'wide' \(Conv2D\).*off the Keras model's"):
        dilated(tmp_path)


def test_the_comparison_can_be_turned_off(tmp_path: Path) -> None:
    assert dilated(tmp_path, check_model=False).checks == {"model": "not asked for"}


def test_training_mode_is_left_as_it_was(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.9), nn.BatchNorm1d(3)).train()
    model[1].eval()
    converted = convert(model, quantized(model, (4,)), tmp_path)
    assert converted.checks["model"].startswith("equal to the PyTorch model on 4 random inputs")
    assert [module.training for module in model] == [True, False, True]
    assert model[2].num_batches_tracked == 0


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    class Moody(nn.Sequential):
        def __call__(self, *inputs: Any) -> Any:
            raise RuntimeError("not today")

    model = Moody(nn.Linear(4, 3))
    with pytest.warns(UserWarning, match=r"not compared with the user's model.*not today"):
        converted = convert(model, quantized(model, (4,)), tmp_path)
    assert "not today" in converted.checks["model"]
    nothing = UserInputs(x=(np.zeros((1, 4)),), channels_first=(False,), layers=frozenset())
    with pytest.raises(NotComparable, match="the configuration has no model"):
        run_user_model({}, nothing)
    with pytest.raises(NotComparable, match="PytorchModel is the path of a file"):
        run_user_model({"PytorchModel": "model.pt"}, nothing)


def test_a_keras_model_with_all_kinds_of_layers_is_equal(tmp_path: Path) -> None:
    model = many_layers()
    converted = hls4ml.converters.convert_from_keras_model(
        model, hls_config=keras_config(model), backend="Systolith", output_dir=str(tmp_path)
    )
    assert converted.checks["model"].startswith("equal to the Keras model")


@pytest.mark.parametrize("conversion", ["internal", "full"])
def test_pytorch_models_are_equal_wherever_channels_stand(conversion: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
    config = quantized(model, (2, 4, 5))
    config["Model"]["ChannelsLastConversion"] = conversion
    converted = convert(model, config, tmp_path)
    assert converted.checks["model"].startswith("equal to the PyTorch model")
    assert converted.mapped.input_views[0].shape == (
        (4, 5, 2) if conversion == "internal" else (2, 4, 5)
    )


def test_keras_models_that_begin_with_a_permutation_are_equal(tmp_path: Path) -> None:
    entry = keras.layers.Input((2, 4, 5))
    x = keras.layers.Conv2D(3, 2)(keras.layers.Permute((2, 3, 1))(entry))
    model = keras.Model(entry, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    converted = hls4ml.converters.convert_from_keras_model(
        model, hls_config=keras_config(model), backend="Systolith", output_dir=str(tmp_path)
    )
    assert converted.checks["model"].startswith("equal to the Keras model")


def judge(case: Case, folder: Path, *, exact: bool) -> str:
    """Convert, and see what comes of it; everything but a good reason is a failure."""
    try:
        with silence():
            converted = case.convert(folder)
    except ConversionError as error:
        assert error.problems
        return "refused"
    except Exception as error:
        # hls4ml's converters have their own refusals, which are not ours to word.
        frames = traceback.extract_tb(error.__traceback__)
        assert not any("systolith/hls4ml_backend" in frame.filename for frame in frames), error
        return "refused by hls4ml"
    assert converted.checks["model"].startswith("equal")
    images = converted.quantize(case.images)
    got = converted.as_floats(trace(converted.mapped.network, images), np.float64)
    if exact:
        assert np.array_equal(got, case.expected)
    else:
        assert np.abs(got - case.expected).max() < 0.05 * np.abs(case.expected).max() + 0.02
    return "right"


DOORS = {"pytorch": pytorch_case, "keras": keras_case, "qonnx": onnx_case}
LOTS = {"pytorch": 12, "keras": 12, "qonnx": 8}


@pytest.mark.parametrize("door", DOORS)
def test_random_models_are_right_or_refused(door: str, tmp_path: Path) -> None:
    results = [
        judge(DOORS[door](seed), tmp_path / str(seed), exact=door == "qonnx")
        for seed in range(LOTS[door])
    ]
    assert results.count("right") >= 2, results
    assert set(results) > {"right"}, results


@pytest.mark.slow
@pytest.mark.parametrize("door", DOORS)
def test_many_random_models_are_right_or_refused(door: str, tmp_path: Path) -> None:
    for seed in range(1000, 1100):
        judge(DOORS[door](seed), tmp_path / str(seed), exact=door == "qonnx")

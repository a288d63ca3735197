"""Every operator of small files, on every layer, against TFLite's reference kernels."""

from pathlib import Path

import numpy as np
import pytest

from systolith.network import forward
from systolith.tflite import import_tflite, run_kernels
from tests.support.tflite_files import TfliteFile

IMAGES = 6
RELU, RELU_N1_TO_1, RELU6 = 1, 2, 3
SAME, VALID = 0, 1


class Model(TfliteFile):
    """A file with random weights and scales."""

    def __init__(self, seed: int, shape: tuple[int, ...] = (1, 7, 6, 3)) -> None:
        super().__init__()
        self.rng = np.random.default_rng(seed)
        self.inputs = [self.activation("input", shape)]

    def activation(self, name: str, shape: tuple[int, ...], like: int | None = None) -> int:
        """A tensor of any scale, or of that of another."""
        if like is not None:
            other = self.tensors[like]
            return self.tensor(name, shape, other.scale, other.zero[0])
        zero = int(self.rng.integers(-128, 128))
        return self.tensor(name, shape, float(self.rng.uniform(0.01, 0.1)), zero)

    def convolution(
        self, source: int, filters: int, *, padding: int = SAME, stride: int = 1,
        kernel: tuple[int, int] = (3, 3), activation: int = 0, depthwise: bool = False,
        dilation: int = 1,
    ) -> int:  # fmt: skip
        rng, number = self.rng, len(self.operators)
        _, height, width, channels = self.tensors[source].shape
        shape = (1, *kernel, filters) if depthwise else (filters, *kernel, channels)
        weight = rng.integers(-127, 128, shape, dtype=np.int8)
        scales = rng.uniform(0.0005, 0.004, filters).astype(np.float32)
        bias = rng.integers(-9999, 9999, filters, dtype=np.int32)
        axis = 3 if depthwise else 0
        inputs = [
            source,
            self.constant(f"model/conv{number}/Conv2D", weight, scale=scales, axis=axis),
            self.constant(f"model/conv{number}/bias", bias),
        ]
        reach = [(size - 1) * dilation + 1 for size in kernel]
        sizes = [
            -(-size // stride) if padding == SAME else (size - by) // stride + 1
            for size, by in zip((height, width), reach, strict=True)
        ]
        result = self.activation(f"model/conv{number}/BiasAdd", (1, *sizes, filters))
        fields = {
            "Padding": padding,
            "StrideH": stride,
            "StrideW": stride,
            "FusedActivationFunction": activation,
            "DilationHFactor": dilation,
            "DilationWFactor": dilation,
        }
        if depthwise:
            fields["DepthMultiplier"] = filters // channels
        kind = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        options = "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions"
        self.operator(kind, inputs, [result], options, **fields)
        return result

    def pool(
        self, kind: str, source: int, kernel: int, *, stride: int, padding: int = VALID
    ) -> int:
        _, height, width, channels = self.tensors[source].shape
        sizes = [
            -(-size // stride) if padding == SAME else (size - kernel) // stride + 1
            for size in (height, width)
        ]
        result = self.activation(
            f"model/pool{len(self.operators)}/Pool", (1, *sizes, channels), source
        )
        self.operator(
            kind, [source], [result], "Pool2DOptions", Padding=padding, StrideH=stride,
            StrideW=stride, FilterHeight=kernel, FilterWidth=kernel,
        )  # fmt: skip
        return result

    def dense(
        self, source: int, filters: int, *, per_channel: bool = False, activation: int = 0
    ) -> int:
        features = int(np.prod(self.tensors[source].shape))
        weight = self.rng.integers(-127, 128, (filters, features), dtype=np.int8)
        scale = self.rng.uniform(0.0005, 0.004, filters if per_channel else 1)
        bias = self.rng.integers(-9999, 9999, filters, dtype=np.int32)
        number = len(self.operators)
        inputs = [
            source,
            self.constant(f"model/dense{number}/MatMul", weight, scale=scale),
            self.constant(f"model/dense{number}/bias", bias),
        ]
        result = self.activation(f"model/dense{number}/BiasAdd", (1, filters))
        self.operator(
            "FULLY_CONNECTED", inputs, [result], "FullyConnectedOptions",
            FusedActivationFunction=activation,
        )  # fmt: skip
        return result

    def addition(self, first: int, second: int, activation: int = 0) -> int:
        result = self.activation(f"model/add{len(self.operators)}/add", self.tensors[first].shape)
        self.operator(
            "ADD", [first, second], [result], "AddOptions", FusedActivationFunction=activation
        )
        return result

    def reshape(self, source: int) -> int:
        features = int(np.prod(self.tensors[source].shape))
        shape = self.constant(f"shape{len(self.operators)}", np.array([1, features], np.int32))
        result = self.activation(f"model/flat{len(self.operators)}/Reshape", (1, features), source)
        self.operator("RESHAPE", [source, shape], [result])
        return result

    def mean(self, source: int, keeps: bool) -> int:
        channels = self.tensors[source].shape[3]
        axes = self.constant(f"axes{len(self.operators)}", np.array([1, 2], np.int32))
        shape = (1, 1, 1, channels) if keeps else (1, channels)
        result = self.activation(f"model/mean{len(self.operators)}/Mean", shape)
        self.operator("MEAN", [source, axes], [result], "ReducerOptions", KeepDims=int(keeps))
        return result

    def check(self, path: Path, output: int, *others: int) -> None:
        """Import the file, which compares every layer; compare the outputs once more."""
        self.outputs = [output, *others]
        self.write(path)
        imported = import_tflite(path)
        images = self.rng.integers(-128, 128, (IMAGES, *imported.input_shape), dtype=np.int8)
        found = forward(imported.network, imported.arrange_input(images))
        for values, wanted in zip(
            imported.arrange_outputs(found).values(), run_kernels(path, images), strict=True
        ):
            assert np.array_equal(values, wanted)


@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("padding", [SAME, VALID])
@pytest.mark.parametrize(
    ("stride", "kernel", "activation"),
    [(1, (3, 3), 0), (2, (3, 3), RELU), (2, (2, 1), RELU6), (1, (1, 1), RELU_N1_TO_1)],
)
def test_convolutions(
    depthwise: bool, padding: int, stride: int, kernel: tuple[int, int], activation: int,
    tmp_path: Path,
) -> None:  # fmt: skip
    model = Model(seed=stride + padding)
    result = model.convolution(
        model.inputs[0], 6, padding=padding, stride=stride, kernel=kernel, activation=activation,
        depthwise=depthwise,
    )  # fmt: skip
    model.check(tmp_path / "model.tflite", result)


def test_dilation(tmp_path: Path) -> None:
    model = Model(seed=0)
    first = model.convolution(model.inputs[0], 4, dilation=2)
    model.check(tmp_path / "model.tflite", model.convolution(first, 4, dilation=2, depthwise=True))


@pytest.mark.parametrize("seed", range(4))
def test_additions(seed: int, tmp_path: Path) -> None:
    model = Model(seed)
    first = model.convolution(model.inputs[0], 3)
    second = model.addition(first, model.inputs[0], RELU if seed % 2 else 0)
    model.check(tmp_path / "model.tflite", model.addition(second, first), second)


@pytest.mark.parametrize("gate", [(7, 6, 3), (1, 1, 3), (7, 6, 1), (1, 1, 1)])
def test_products(gate: tuple[int, int, int], tmp_path: Path) -> None:
    model = Model(seed=sum(gate))
    first = model.convolution(model.inputs[0], 3)
    high, wide, channels = gate
    second = model.convolution(model.inputs[0], channels)
    if (high, wide) == (1, 1):
        second = model.mean(second, keeps=True)
    results: list[int] = []
    for pair, activation in (((first, second), 0), ((second, first), RELU)):
        result = model.activation(f"model/mul{len(results)}/mul", (1, 7, 6, 3))
        model.operator("MUL", pair, [result], "MulOptions", FusedActivationFunction=activation)
        results.append(result)
    model.check(tmp_path / "model.tflite", *results)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 1), (4, 2), (6, 1)])
def test_averages_round_ties_away_from_zero(kernel: int, stride: int, tmp_path: Path) -> None:
    model = Model(seed=kernel)
    pooled = model.pool("AVERAGE_POOL_2D", model.inputs[0], kernel, stride=stride)
    model.check(tmp_path / "model.tflite", pooled)


@pytest.mark.parametrize("padding", [SAME, VALID])
def test_maxima(padding: int, tmp_path: Path) -> None:
    model = Model(seed=padding)
    pooled = model.pool("MAX_POOL_2D", model.inputs[0], 3, stride=2, padding=padding)
    model.check(tmp_path / "model.tflite", pooled)


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("shape", [(1, 4, 4, 3), (1, 7, 6, 3)])
def test_means(keeps: bool, shape: tuple[int, ...], tmp_path: Path) -> None:
    model = Model(seed=7, shape=shape)
    model.check(tmp_path / "model.tflite", model.mean(model.inputs[0], keeps))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activation", [0, RELU])
def test_linear_layers_of_a_flattened_image(
    per_channel: bool, activation: int, tmp_path: Path
) -> None:
    model = Model(seed=3)
    conv = model.convolution(model.inputs[0], 4, stride=2)
    dense = model.dense(model.reshape(conv), 9, per_channel=per_channel, activation=activation)
    model.check(tmp_path / "model.tflite", model.dense(dense, 5), conv)


def test_a_flattened_image_as_output(tmp_path: Path) -> None:
    model = Model(seed=5)
    conv = model.convolution(model.inputs[0], 4)
    model.check(tmp_path / "model.tflite", model.reshape(conv))


@pytest.mark.parametrize("scale", [1 / 64, 1 / 256, 3 / 128])
def test_linear_layers_round_ties_away_from_zero(scale: float, tmp_path: Path) -> None:
    """Scales of few bits, so that many sums are ties of both signs."""
    model = Model(seed=1, shape=(1, 8))
    model.tensors[0].scale, model.tensors[0].zero = [1.0], [0]
    weight = model.rng.integers(-8, 9, (16, 8), dtype=np.int8)
    inputs = [0, model.constant("model/dense/MatMul", weight, scale=scale)]
    result = model.tensor("model/dense/BiasAdd", (1, 16), 1.0, 0)
    model.operator("FULLY_CONNECTED", inputs, [result], "FullyConnectedOptions")
    model.check(tmp_path / "model.tflite", result)


def test_padding_joins_the_convolution(tmp_path: Path) -> None:
    model = Model(seed=2)
    given = model.constant("pads", np.array([[0, 0], [0, 2], [1, 1], [0, 0]], np.int32))
    padded = model.activation("model/pad/Pad", (1, 9, 8, 3), model.inputs[0])
    model.operator("PAD", [model.inputs[0], given], [padded])
    model.check(tmp_path / "model.tflite", model.convolution(padded, 4, padding=VALID))


def test_joined_channels(tmp_path: Path) -> None:
    model = Model(seed=6)
    first = model.convolution(model.inputs[0], 4)
    second = model.convolution(first, 2)
    model.tensors[second].scale, model.tensors[second].zero = (
        model.tensors[first].scale,
        model.tensors[first].zero,
    )
    joined = model.activation("model/join/concat", (1, 7, 6, 6), first)
    model.operator("CONCATENATION", [second, first], [joined], "ConcatenationOptions", Axis=3)
    model.check(tmp_path / "model.tflite", model.convolution(joined, 3))


def test_quantizers_between(tmp_path: Path) -> None:
    model = Model(seed=4)
    result = model.activation("model/other/Quantize", model.tensors[0].shape)
    model.operator("QUANTIZE", [model.inputs[0]], [result])
    model.check(tmp_path / "model.tflite", result)

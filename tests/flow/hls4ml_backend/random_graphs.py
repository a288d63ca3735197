"""Random models of Keras and PyTorch out of all layers that hls4ml and the network share.

Branches split and meet again, types are random, and results are compared exactly.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hls4ml
import keras
import numpy as np
import torch
from torch import Tensor, nn

from tests.flow.hls4ml_backend.random_models import random_type

Graph = tuple[Callable[..., Any], tuple[int, ...]]
"""What converts a model, from a folder and options, and the shape of its input."""
FUNCTIONS = (
    *("relu", "sigmoid", "tanh", "elu", "selu", "softplus", "softsign", "hard_sigmoid"),
    *("leaky", "threshold", "prelu"),
)


def keras_graph(seed: int) -> Graph:
    """Draw a functional Keras model."""
    rng = random.Random(seed)
    keras.utils.set_random_seed(seed)
    one = rng.random() < 0.3
    size = (rng.choice((5, 6)),) if one else (rng.choice((4, 5, 6)), rng.choice((4, 6)))
    entry = keras.layers.Input((*size, rng.randint(1, 3)))
    tensors = [entry]
    for _ in range(rng.randint(2, 5)):
        tensors.append(_keras_layer(rng, one, tensors))
    x = tensors[-1]
    outputs = [x]
    if rng.random() < 0.5:
        outputs = [keras.layers.Dense(3)(keras.layers.Flatten()(x))]
        if rng.random() < 0.3:
            outputs = [keras.layers.Softmax()(outputs[0])]
    elif rng.random() < 0.3 and tensors[-2] is not entry:
        outputs = [x, tensors[-2]]
    model = keras.Model(entry, outputs)
    values = np.random.default_rng(seed)
    model.set_weights([values.normal(size=w.shape) * 0.7 for w in model.get_weights()])
    for layer in model.layers:
        if isinstance(layer, keras.layers.PReLU):
            layer.set_weights(
                [values.normal(size=w.shape[-1:]) + 0 * w for w in layer.get_weights()]
            )
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([np.abs(w) + 0.2 for w in layer.get_weights()])

    def convert(folder: Path, backend: str = "Systolith", **given: Any) -> Any:
        config = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
        return hls4ml.converters.convert_from_keras_model(
            model,
            hls_config=_draw_types(config, random.Random(seed)),
            backend=backend,
            io_type="io_stream",
            output_dir=str(folder),
            **given,
        )

    return convert, tuple(entry.shape[1:])


def _keras_layer(rng: random.Random, one: bool, tensors: list[Any]) -> Any:
    layers, x = keras.layers, tensors[-1]

    def kind(name: str) -> Any:
        return getattr(layers, f"{name}{'1' if one else '2'}D")

    def conv(**settings: Any) -> Any:
        padding = rng.choice(("same", "valid")) if min(x.shape[1:-1]) > 2 else "same"
        return kind("Conv")(rng.randint(1, 4), rng.choice((1, 2, 3)), padding=padding, **settings)

    match rng.choice(("conv", "conv", "function", "function", "merge", "join", "move", "other")):
        case "conv":
            return conv(strides=rng.choice((1, 1, 2)))(x)
        case "function":
            name = rng.choice(FUNCTIONS)
            made = {
                "leaky": lambda: layers.LeakyReLU(negative_slope=rng.choice((0.1, 0.25, 0.3))),
                "threshold": lambda: layers.ReLU(threshold=0.75),
                "prelu": lambda: layers.PReLU(),
            }
            return made[name]()(x) if name in made else layers.Activation(name)(x)
        case "merge":
            name = rng.choice(("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"))
            fitting = [tensor for tensor in tensors if tensor.shape == x.shape]
            other = rng.choice(fitting)
            if other is x:
                other = kind("Conv")(x.shape[-1], 1)(x)
            return getattr(layers, name)()([x, other])
        case "join":
            fitting = [tensor for tensor in tensors if tensor.shape[1:-1] == x.shape[1:-1]]
            return layers.Concatenate()([x, rng.choice(fitting)])
        case "move":
            name = rng.choice(("UpSampling", "ZeroPadding", "Cropping"))
            if name == "Cropping" and min(x.shape[1:-1]) < 4:
                return kind("ZeroPadding")(1)(x)
            if name == "UpSampling" and max(x.shape[1:-1]) > 8:
                return layers.Activation("relu")(x)
            return kind(name)(rng.choice((1, 2)) if name != "Cropping" else 1)(x)
        case _:
            names = ("norm", "depthwise", "max", "average")
            match rng.choice(names):
                case "norm":
                    return layers.BatchNormalization()(x)
                case "depthwise":
                    return kind("DepthwiseConv")(2, padding="same")(x)
                case "max" if min(x.shape[1:-1]) > 1:
                    return kind("MaxPooling")(2)(x)
                case "average" if min(x.shape[1:-1]) > 1:
                    return kind("AveragePooling")(2)(x)
                case _:
                    return conv()(x)


class RandomModule(nn.Module):
    """Statements drawn at random on images or sequences, channels first."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.one = rng.random() < 0.3
        size = (rng.choice((5, 6)),) if self.one else (rng.choice((4, 5, 6)), rng.choice((4, 6)))
        self.shape = (rng.randint(1, 3), *size)
        self.layers = nn.ModuleList()
        self.plan: list[tuple[str, int, int]] = []
        shapes = [self.shape]
        for _ in range(rng.randint(2, 5)):
            self._draw(rng, shapes)
        self.dense = rng.random() < 0.4
        if self.dense:
            self.flatten = nn.Flatten()
            self.last = nn.Linear(int(np.prod(shapes[-1])), 3)

    def _draw(self, rng: random.Random, shapes: list[tuple[int, ...]]) -> None:
        channels, *size = shapes[-1]
        conv = nn.Conv1d if self.one else nn.Conv2d
        last = len(shapes) - 1
        statement, other, layer = rng.choice(STATEMENTS), last, None
        match statement:
            case "conv":
                kernel = rng.randint(1, min(3, *size))
                reach = 2 if kernel > 1 and min(size) > 2 * kernel and rng.random() < 0.2 else 1
                layer = conv(
                    channels,
                    rng.randint(1, 4),
                    kernel,
                    stride=rng.choice((1, 1, 2)),
                    padding=rng.randint(0, kernel - 1),
                    dilation=reach,
                )
            case "function":
                layer = rng.choice(
                    (
                        *(nn.Sigmoid(), nn.Tanh(), nn.ReLU(), nn.LeakyReLU(0.1)),
                        *(nn.ELU(0.7), nn.Threshold(0.5, 0), nn.PReLU(channels)),
                    )
                )
                if isinstance(layer, nn.PReLU):
                    nn.init.uniform_(layer.weight, -0.5, 1.0)
            case "pool" if min(size) > 1:
                names = ("MaxPool1d", "AvgPool1d") if self.one else ("MaxPool2d", "AvgPool2d")
                layer = getattr(nn, rng.choice(names))(2)
            case "up" if max(size) < 9:
                layer = nn.Upsample(scale_factor=2)
            case "pad":
                layer = (nn.ConstantPad1d if self.one else nn.ConstantPad2d)(rng.choice((1, 2)), 0)
            case "norm":
                layer = (nn.BatchNorm1d if self.one else nn.BatchNorm2d)(channels)
                nn.init.uniform_(layer.weight, -1.5, 1.5)
                nn.init.normal_(layer.bias)
            case "cat":
                fitting = [n for n, shape in enumerate(shapes) if shape[1:] == shapes[-1][1:]]
                other = rng.choice(fitting)
                if other == last:
                    # hls4ml reads a tensor that is joined twice as one input
                    layer = conv(channels, 2, 1)
            case "add" | "sub" | "mul" | "maximum" | "minimum":
                other = rng.choice([n for n, shape in enumerate(shapes) if shape == shapes[-1]])
                if other == last:
                    layer = conv(channels, channels, 1)
            case _:
                statement, layer = "function", nn.ReLU()
        self.plan.append((statement, other, -1 if layer is None else len(self.layers)))
        if layer is not None:
            self.layers.append(layer)
        with torch.no_grad():
            self.eval()
            made = self._step(-1, [torch.zeros(1, *shape) for shape in shapes])
        shapes.append(tuple(made.shape[1:]))

    def _step(self, number: int, values: list[Tensor]) -> Tensor:
        statement, other, layer = self.plan[number]
        x, y = values[-1], values[other]
        match statement:
            case "cat":
                y = self.layers[layer](y) if layer >= 0 else y
                return torch.cat((x, y), dim=1)
            case "add" | "sub" | "mul" | "maximum" | "minimum":
                y = self.layers[layer](y) if layer >= 0 else y
                return getattr(torch, statement)(x, y)
            case _:
                made: Tensor = self.layers[layer](x)
                return made

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for number in range(len(self.plan)):
            values.append(self._step(number, values))
        x = values[-1]
        return self.last(self.flatten(x)) if self.dense else x


STATEMENTS = (
    *("conv", "conv", "function", "function", "pool", "up", "pad", "norm"),
    *("cat", "cat", "add", "sub", "mul", "maximum", "minimum"),
)


def pytorch_graph(seed: int) -> Graph:
    """Draw a PyTorch module."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    model = RandomModule(rng).eval()

    def convert(folder: Path, backend: str = "Systolith", **given: Any) -> Any:
        config = hls4ml.utils.config_from_pytorch_model(
            model,
            model.shape,
            granularity="name",
            backend="Vitis",
            channels_last_conversion="internal",
        )
        config.pop("PytorchModel", None)
        return hls4ml.converters.convert_from_pytorch_model(
            model,
            hls_config=_draw_types(config, random.Random(seed)),
            backend=backend,
            io_type="io_stream",
            output_dir=str(folder),
            **given,
        )

    return convert, model.shape


def _draw_types(config: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Draw types: results of mostly at most 8 bits, accumulators that hold every sum."""
    for name, section in config["LayerName"].items():
        for key in section["Precision"]:
            drawn = random_type(rng)
            if key == "result":
                drawn = random_result(rng)
            if key in ("accum", "param"):
                drawn = "auto" if "global" not in name else "ap_fixed<24,12>"
            if key == "table":
                drawn = rng.choice(("ap_fixed<18,8>", "ap_fixed<14,4,AP_RND,AP_SAT>"))
            if not key.endswith("table") or key == "table":
                section["Precision"][key] = drawn
    return config


def random_result(rng: random.Random) -> str:
    """Draw the type of a result, seldom of more than 8 bits."""
    width = rng.randint(4, 8) if rng.random() < 0.85 else rng.randint(9, 12)
    sign = "u" if rng.random() < 0.1 else ""
    modes = f"{rng.choice(('AP_TRN', 'AP_RND', 'AP_RND'))},{rng.choice(('AP_WRAP', 'AP_SAT'))}"
    return f"ap_{sign}fixed<{width},{rng.randint(1, 4)},{modes}>"

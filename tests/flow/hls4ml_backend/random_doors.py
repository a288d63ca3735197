"""Random models as people write them, with settings that hls4ml may not know, for its three doors.

Each is a model, its configuration and what it computes; types are wide, so that what the network
computes is near to what the model does, or something else was read.
"""

import contextlib
import copy
import io
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hls4ml
import keras
import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from qonnx.transformation.gemm_to_matmul import GemmToMatMul
from qonnx.util.cleanup import cleanup_model
from torch import Tensor, nn
from torch.nn import functional

WIDE = "ap_fixed<16,6,AP_RND,AP_SAT>"
NARROW = "ap_fixed<12,3,AP_RND,AP_SAT>"


@dataclass(frozen=True)
class Case:
    """A model for a door.

    Attributes
    ----------
    convert : callable
        Takes a folder and options; gives the converted graph.
    images : array of float32, channels last
    expected : array of float64, shape (N, outputs)
        Channels last.
    """

    convert: Callable[..., Any]
    images: NDArray[np.float32]
    expected: NDArray[np.float64]


class RandomPyTorch(nn.Module):
    """A stem, statements drawn at random, a classifier."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.one = rng.random() < 0.25
        channels, size = rng.randint(1, 3), rng.choice((6, 7, 8))
        self.shape = (channels, size) if self.one else (channels, size, rng.choice((6, 8)))
        conv = nn.Conv1d if self.one else nn.Conv2d
        hidden = rng.choice((2, 4))
        kernel = rng.choice((1, 2, 3))
        settings: dict[str, Any] = {"padding": min(rng.choice((0, 1)), kernel - 1)}
        if rng.random() < 0.15:
            settings["padding"] = rng.choice(("same", "valid"))
        else:
            settings["stride"] = rng.choice((1, 2))
        if rng.random() < 0.2:
            settings["dilation"] = 2 if self.one else rng.choice((2, (1, 2)))
        self.stem = conv(channels, hidden, kernel, bias=rng.random() < 0.8, **settings)
        self.block = conv(hidden, hidden, 1)
        if rng.random() < 0.05:
            nn.utils.parametrizations.weight_norm(self.block)
        self.norm = (nn.BatchNorm1d if self.one else nn.BatchNorm2d)(hidden)
        nn.init.uniform_(self.norm.weight, -1.5, 1.5)
        nn.init.normal_(self.norm.running_mean)
        pool = {"kernel_size": 2, "ceil_mode": rng.random() < 0.2, "padding": rng.choice((0, 0, 1))}
        kind = rng.choice(("Max", "Avg"))
        self.pool = getattr(nn, f"{kind}Pool{'1' if self.one else '2'}d")(**pool)
        self.relu = nn.ReLU(inplace=rng.random() < 0.5)
        self.statements = rng.sample(
            ("relu", "functional relu", "add", "norm", "pool", "method relu", "alpha"), 3
        )
        self.flatten = rng.choice(("flatten", "view", "module"))
        self.flattened = nn.Flatten()
        with torch.no_grad():
            self.eval()
            features = self.features(torch.zeros(1, *self.shape)).flatten(1).shape[1]
        self.dense = nn.Linear(features, rng.randint(2, 4))

    def features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for statement in self.statements:
            match statement:
                case "relu":
                    x = self.relu(x)
                case "functional relu":
                    x = functional.relu(x)
                case "method relu":
                    x = x.relu()
                case "add":
                    x = torch.add(self.block(x), x)
                case "alpha":
                    x = torch.add(self.block(x), x, alpha=2)
                case "norm":
                    x = self.norm(x)
                case _:
                    x = self.pool(x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        match self.flatten:
            case "flatten":
                x = torch.flatten(x, 1)
            case "view":
                x = x.view(-1, self.dense.in_features)
            case _:
                x = self.flattened(x)
        return self.dense(x)


def pytorch_case(seed: int) -> Case:
    """Draw a PyTorch model."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    model = RandomPyTorch(rng).eval()
    x = np.random.default_rng(seed).uniform(-1, 1, (4, *model.shape)).astype(np.float32)
    with torch.no_grad():
        expected = model(torch.from_numpy(x)).double().numpy()

    def convert(folder: Path, **given: Any) -> Any:
        config = hls4ml.utils.config_from_pytorch_model(
            model,
            model.shape,
            granularity="name",
            backend="Vitis",
            channels_last_conversion="internal",
        )
        config.pop("PytorchModel", None)
        return hls4ml.converters.convert_from_pytorch_model(
            model, hls_config=_typed(config), backend="Systolith", output_dir=str(folder), **given
        )

    return Case(convert, np.ascontiguousarray(np.moveaxis(x, 1, -1)), expected)


def keras_case(seed: int) -> Case:
    """Draw a Keras model."""
    rng = random.Random(seed)
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    entry = layers.Input((rng.choice((6, 7)), 6, rng.choice((2, 4))))
    settings: dict[str, Any] = {"padding": rng.choice(("same", "valid"))}
    if rng.random() < 0.2:
        settings["dilation_rate"] = rng.choice((2, (1, 2)))
    else:
        settings["strides"] = rng.choice((1, 2))
    if rng.random() < 0.1:
        settings["groups"] = 2
    activation = rng.choice((None, "relu"))
    x = layers.Conv2D(4, rng.choice((1, 2, 3)), activation=activation, **settings)(entry)
    for statement in rng.sample(("relu", "depthwise", "pool", "norm", "drop", "permute"), 3):
        match statement:
            case "relu":
                x = layers.ReLU()(x)
            case "depthwise":
                rate = 2 if rng.random() < 0.2 else 1
                y = layers.DepthwiseConv2D(2, padding="same", dilation_rate=rate)(x)
                x = layers.Add()([x, y])
            case "pool":
                kind = rng.choice((layers.MaxPooling2D, layers.AveragePooling2D))
                x = kind(2, padding=rng.choice(("same", "valid")))(x)
            case "norm":
                norm = layers.BatchNormalization(axis=rng.choice((-1, -1, 1)))
                x = norm(x)
                values = np.random.default_rng(seed).uniform(
                    0.5, 1.5, (4, int(norm.gamma.shape[0]))
                )
                norm.set_weights(list(values))
            case "drop":
                x = layers.Dropout(0.5)(x)
            case _:
                x = layers.Permute(rng.choice(((1, 2, 3), (2, 1, 3))))(x)
    if rng.random() < 0.3:
        x = layers.GlobalAveragePooling2D(keepdims=rng.random() < 0.5)(x)
    x = rng.choice((layers.Flatten(), layers.Reshape((-1,))))(x)
    model = keras.Model(entry, layers.Dense(3)(x))
    images = np.random.default_rng(seed).uniform(-1, 1, (4, *entry.shape[1:])).astype(np.float32)
    expected = np.asarray(model.predict(images, verbose=0), dtype=np.float64)

    def convert(folder: Path, **given: Any) -> Any:
        config = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
        return hls4ml.converters.convert_from_keras_model(
            model, hls_config=_typed(config), backend="Systolith", output_dir=str(folder), **given
        )

    return Case(convert, images, expected)


def onnx_case(seed: int) -> Case:
    """Draw a QONNX graph; its types come from its quantizers."""
    rng, values = random.Random(seed), np.random.default_rng(seed)
    nodes: list[Any] = []
    constants: list[Any] = []

    def constant(value: Any, dtype: Any = np.float32) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, dtype), f"c{len(constants)}"))
        return str(constants[-1].name)

    def node(kind: str, *inputs: str, domain: str = "", **settings: Any) -> str:
        name = f"{kind.lower()}_{len(nodes)}"
        made = helper.make_node(kind, inputs, [f"{name}_out"], name=name, domain=domain, **settings)
        nodes.append(made)
        return f"{name}_out"

    def quant(source: str, bits: int, scale: float, signed: bool = True) -> str:
        parameters = [constant(value) for value in (scale, 0.0, float(bits))]
        return node(
            "Quant",
            source,
            *parameters,
            domain="qonnx.custom_op.general",
            signed=int(signed),
            narrow=0,
            rounding_mode=rng.choice(("ROUND", "FLOOR")),
        )

    vector = rng.random() < 0.4
    shape = (1, 2, 4) if vector else (1, 2, 6, 6)
    x = quant("x", 8, 2.0**-5)
    if vector:
        features = 8
    else:
        filters, kernel = 4, rng.choice((1, 3))
        dilation = rng.choice((1, 1, 1, 2))
        side = rng.randrange(min(kernel, 2))
        weight = quant(constant(values.normal(size=(filters, 2, kernel, kernel))), 4, 0.25)
        inputs = [x, weight]
        pads = [side, side, rng.randrange(min(kernel, 2)), side]
        x = node(
            "Conv",
            *inputs,
            kernel_shape=[kernel] * 2,
            pads=pads,
            strides=[1, 1],
            dilations=[dilation] * 2,
            group=1,
        )
        x = node("Relu", x)
        x = quant(x, 6, rng.choice((0.125, 0.25)), signed=False)
        span = dilation * (kernel - 1)
        height, width = 6 + pads[0] + pads[2] - span, 6 + pads[1] + pads[3] - span
        features = filters * height * width
    if vector or rng.random() < 0.5:
        x = node("Reshape", x, constant([1, rng.choice((-1, features))], np.int64))
    else:
        x = node("Flatten", x, axis=1)
    weight = quant(constant(values.normal(size=(features, 3))), 5, 0.125)
    x = node("MatMul", x, weight)
    out = quant(x, 12, 2.0**-5)
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, (1, 3))],
        constants,
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    model = cleanup_model(ModelWrapper(helper.make_model(graph, opset_imports=opsets)))
    if not vector:
        model = model.transform(ConvertToChannelsLastAndClean(make_input_channels_last=True))
        model = cleanup_model(model.transform(GemmToMatMul()))
    entry, result = model.graph.input[0].name, model.graph.output[0].name
    seen = model.get_tensor_shape(entry)[1:]
    # hls4ml reads inputs in its default type first: what it rounds twice is no fault of the graph.
    images = (values.integers(-256, 257, (4, *seen)) / 256).astype(np.float32)
    expected = np.concatenate(
        [execute_onnx(model, {entry: image[None]})[result] for image in images]
    ).astype(np.float64)

    def convert(folder: Path, **given: Any) -> Any:
        copied = copy.deepcopy(model)
        config = hls4ml.utils.config_from_onnx_model(copied, granularity="name", backend="Vitis")
        return hls4ml.converters.convert_from_onnx_model(
            copied, hls_config=config, backend="Systolith", output_dir=str(folder), **given
        )

    return Case(convert, images, expected)


def _typed(config: dict[str, Any]) -> dict[str, Any]:
    for name, section in config["LayerName"].items():
        for key in section["Precision"]:
            wide = "ap_fixed<24,12>" if "global" in name else "auto"
            types = {"accum": wide, "weight": NARROW, "bias": NARROW}
            section["Precision"][key] = types.get(key, WIDE)
    return config


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep what converters print, and their warnings, to themselves."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield

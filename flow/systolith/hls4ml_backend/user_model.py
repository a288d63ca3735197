"""The user's model, run by its own framework."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NotComparable", "UserInputs", "UserOutputs", "run_user_model"]

Floats = NDArray[np.float64]
QUANTIZED_KERAS = ("qkeras", "hgq")
"""Packages whose layers round, so that they cannot be compared without types."""


class NotComparable(Exception):
    """A model cannot be compared with hls4ml's graph; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserInputs:
    """Inputs of a model.

    Attributes
    ----------
    x : tuple of array of float64, shape (N, ...)
        In the shapes of the graph's inputs.
    channels_first : tuple of bool
        By input, whether it has channels first, as in PyTorch.
    layers : frozenset of str
        Names of the graph's layers.
    """

    x: tuple[Floats, ...]
    channels_first: tuple[bool, ...]
    layers: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserOutputs:
    """Outputs of a model.

    Attributes
    ----------
    framework : str
        Name, for messages.
    outputs : list of array of float64, shape (N, ...)
        In the model's order, channels last.
    layers : dict of str to array of float64
        Channels last, by hls4ml's name of the layer or tensor; some are missing.
    """

    framework: str
    outputs: list[Floats]
    layers: dict[str, Floats]


def run_user_model(config: Mapping[str, Any], given: UserInputs) -> UserOutputs:
    """Run the model that a configuration of hls4ml holds.

    Parameters
    ----------
    config : mapping
        Configuration of a graph, with ``PytorchModel``, ``KerasModel`` or ``OnnxModel``.
    given : UserInputs

    Raises
    ------
    NotComparable
        If there is no model, or its layers round.
    """
    for key, run in RUNNERS.items():
        if (model := config.get(key)) is not None:
            if isinstance(model, str) and key != "OnnxModel":
                raise NotComparable(f"{key} is the path of a file, not a model")
            return run(model, given)
    raise NotComparable("the configuration has no model")


def _channels_last(values: Floats) -> Floats:
    return np.moveaxis(values, 1, -1) if values.ndim > 2 else values


def _channels_first(values: Floats) -> Floats:
    return np.moveaxis(values, -1, 1) if values.ndim > 2 else values


def _run_pytorch(model: Any, given: UserInputs) -> UserOutputs:
    import torch
    from hls4ml.utils.torch import CustomFXTracer

    from systolith.trace import evaluating

    layers: dict[str, Floats] = {}

    def floats(tensor: Any) -> Floats:
        return _channels_last(tensor.detach().cpu().double().numpy().copy())

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: Any) -> Any:
            result = super().run_node(n)
            if isinstance(result, torch.Tensor):
                layers[n.name] = floats(result)
            return result

    like = next(model.parameters(), torch.zeros(()))
    images = []
    for x, is_first in zip(given.x, given.channels_first, strict=True):
        first = x if is_first else _channels_first(x)
        # A copy into new memory: views of one channel look like channels last to PyTorch.
        images.append(torch.zeros(first.shape).copy_(torch.from_numpy(first)).to(like))
    with evaluating(model):
        result = model(*images)
        traced = torch.fx.GraphModule(model, CustomFXTracer().trace(model))
        Recorder(traced).run(*images)
    outputs = result if isinstance(result, tuple | list) else [result]
    return UserOutputs(
        framework="PyTorch", outputs=[floats(output) for output in outputs], layers=layers
    )


def _run_keras(model: Any, given: UserInputs) -> UserOutputs:
    import keras

    flat = list(model.layers)
    for layer in flat:
        if (package := type(layer).__module__.partition(".")[0]) in QUANTIZED_KERAS:
            raise NotComparable(f"layer '{layer.name}' is of {package}, whose layers round")
    first = any(getattr(layer, "data_format", None) == "channels_first" for layer in flat)
    if first:
        raise NotComparable("its channels come first")
    seen = [layer for layer in flat if len(getattr(layer, "_inbound_nodes", ())) == 1]
    whole = keras.Model(model.inputs, [model.outputs, [layer.output for layer in seen]])
    images = [keras.ops.convert_to_tensor(x.astype(np.float32)) for x in given.x]
    outputs, inner = whole(images if len(images) > 1 else images[0], training=False)

    def floats(tensor: Any) -> Floats:
        return np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64)

    layers = {}
    for layer, tensor in zip(seen, inner, strict=True):
        # hls4ml splits off activations; the layer's own name then means its sums.
        activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
        named = f"{layer.name}_{activation}"
        if activation == "linear" or named in given.layers:
            layers[named if named in given.layers else layer.name] = floats(tensor)
    return UserOutputs(
        framework="Keras", outputs=[floats(output) for output in outputs], layers=layers
    )


def _run_onnx(model: Any, given: UserInputs) -> UserOutputs:
    import onnx
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx

    proto = onnx.load(model) if isinstance(model, str) else getattr(model, "model", model)
    wrapper = ModelWrapper(_without_activation_quantizers(proto))
    constant = {tensor.name for tensor in wrapper.graph.initializer}
    entries = [one.name for one in wrapper.graph.input if one.name not in constant]
    results = [out.name for out in wrapper.graph.output]
    collected: dict[str, list[Floats]] = {}
    for images in zip(*given.x, strict=True):
        singles = [image[None].astype(np.float32) for image in images]
        values = dict(zip(entries, singles, strict=True))
        context = execute_onnx(wrapper, values, return_full_exec_context=True)
        for name, value in context.items():
            collected.setdefault(name, []).append(np.asarray(value, dtype=np.float64))
    layers = {
        name: np.concatenate(values)
        for name, values in collected.items()
        if values[0].ndim and len(values[0]) == 1
    }
    return UserOutputs(framework="ONNX", outputs=[layers[name] for name in results], layers=layers)


def _without_activation_quantizers(proto: Any) -> Any:
    """Copy a model without the quantizers of activations; those of parameters stay."""
    from onnx import helper

    copied = copy.deepcopy(proto)
    constant = {tensor.name for tensor in copied.graph.initializer}
    nodes = []
    for node in copied.graph.node:
        if all(name in constant for name in node.input):
            constant.update(node.output)
        if node.op_type in ("Quant", "IntQuant") and node.input[0] not in constant:
            node = helper.make_node("Identity", [node.input[0]], node.output, name=node.name)
        nodes.append(node)
    del copied.graph.node[:]
    copied.graph.node.extend(nodes)
    return copied


Runner = Callable[[Any, UserInputs], UserOutputs]
RUNNERS: Mapping[str, Runner] = {
    "PytorchModel": _run_pytorch,
    "KerasModel": _run_keras,
    "OnnxModel": _run_onnx,
}

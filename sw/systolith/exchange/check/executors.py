"""Programs that run ONNX files, for comparison with imported networks."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from systolith.exchange.file.loading import (
    CHANNELS_LAST_DOMAIN,
    QONNX_DOMAIN,
    load_model,
    model_inputs,
)

__all__ = ["EXECUTORS", "Executor", "ExecutorError", "run_onnx"]

Arrays = Mapping[str, NDArray[Any]]

OF_QONNX = {"finn.custom_op.general", "onnx.brevitas", QONNX_DOMAIN}
"""Domains of operators that QONNX runs."""
PRECISE = "session.x64quantprecision"
"""Session option; without it, AVX2 kernels saturate sums of two products at 16 bits."""
ERRORS_ONLY = 4


class ExecutorError(Exception):
    """A program cannot run a file; the message is the program's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """A program that runs ONNX files.

    Attributes
    ----------
    name : str
        Name for the user.
    package : str
        Python package of the program.
    qonnx : bool
        Whether it runs files with QONNX's operators (True) or without (False).
    begin : callable
        Takes a model and names of tensors; returns a function that computes these tensors for a
        batch of images.
    """

    name: str
    package: str
    qonnx: bool
    begin: Callable[[ModelProto, Sequence[str]], Callable[[NDArray[Any]], Arrays]]

    def __str__(self) -> str:
        return f"{self.name} {metadata.version(self.package)}"

    def runs(self, model: ModelProto) -> bool:
        """Whether it runs files with the operators of `model`."""
        return self.qonnx == any(node.domain in OF_QONNX for node in model.graph.node)

    def run(self, model: ModelProto, images: NDArray[Any], tensors: Sequence[str]) -> Arrays:
        """Compute tensors of a model.

        Parameters
        ----------
        model : ModelProto
        images : array, shape (N, ...)
            N is a multiple of the file's batch.
        tensors : sequence of str

        Raises
        ------
        ExecutorError
            If it cannot run the file.
        """
        (source,) = model_inputs(model)
        sizes = source.type.tensor_type.shape.dim
        fixed = bool(sizes and sizes[0].dim_value > 0) and not self.qonnx
        batch = sizes[0].dim_value if fixed else len(images)
        try:
            compute = self.begin(model, tensors)
            parts = [compute(images[start : start + batch]) for start in _starts(images, batch)]
            if not fixed and any(len(part[name]) != batch for part in parts for name in tensors):
                # Some node has the batch that the file was exported with.
                parts = [compute(images[place : place + 1]) for place in range(len(images))]
                if wrong := next((n for part in parts for n in tensors if len(part[n]) != 1), ""):
                    raise ValueError(f"'{wrong}' has a batch of its own, whatever the input's")
        except Exception as error:  # These programs raise exceptions of many types.
            text = " ".join(str(error).split())[:200] or type(error).__name__
            raise ExecutorError(text) from error
        return {name: np.concatenate([part[name] for part in parts]) for name in tensors}


def _starts(images: NDArray[Any], batch: int) -> Iterable[int]:
    if len(images) % batch:
        raise ValueError(f"the file reads {batch} images at once, {len(images)} were given")
    return range(0, len(images), batch)


def _expose(model: ModelProto, tensors: Sequence[str]) -> ModelProto:
    """Make inner tensors of a model its outputs."""
    exposed = ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(ValueInfoProto(name=name) for name in tensors)
    return exposed


def _runtime(model: ModelProto, tensors: Sequence[str]) -> Callable[[NDArray[Any]], Arrays]:
    """Prepare ONNX Runtime without graph optimizations."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = 1
    options.add_session_config_entry(PRECISE, "1")
    session = onnxruntime.InferenceSession(
        _expose(model, tensors).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (source,) = (value.name for value in session.get_inputs())

    def compute(images: NDArray[Any]) -> Arrays:
        return dict(zip(tensors, session.run(list(tensors), {source: images}), strict=True))

    return compute


def _reference(model: ModelProto, tensors: Sequence[str]) -> Callable[[NDArray[Any]], Arrays]:
    """Prepare ONNX's reference implementation in NumPy."""
    evaluator = ReferenceEvaluator(_expose(model, tensors))
    (source,) = (value.name for value in model_inputs(model))

    def compute(images: NDArray[Any]) -> Arrays:
        return dict(zip(tensors, evaluator.run(None, {source: images}), strict=True))

    return compute


def _qonnx(model: ModelProto, tensors: Sequence[str]) -> Callable[[NDArray[Any]], Arrays]:
    """Prepare QONNX's executor, which runs node by node.

    Its time per node is much greater than its time per image. So all images form one batch, unless
    the file only works with a batch of one.
    """
    dependent = _dependent_tensors(model)
    # Its Im2Col mixes the images of a batch.
    for_one = _fixes_batch(model, dependent)
    for_one |= any(node.op_type == "Im2Col" for node in model.graph.node)

    def together(images: NDArray[Any]) -> Arrays | None:
        try:
            computed = _execute(_set_batch(model, len(images)), images)
            whole = all(len(computed[name]) == len(images) for name in dependent)
            return computed if whole else None
        except Exception:  # It raises exceptions of many types, and again for one image.
            return None

    def compute(images: NDArray[Any]) -> Arrays:
        if len(images) > 1 and not for_one and (batch := together(images)) is not None:
            return {name: batch[name] for name in tensors}
        single = _set_batch(model, 1)
        parts = [_execute(single, images[place : place + 1]) for place in range(len(images))]
        return {name: np.concatenate([part[name] for part in parts]) for name in tensors}

    return compute


def _set_batch(model: ModelProto, batch: int) -> Any:
    """Make QONNX's model for a batch size, with all shapes inferred."""
    from qonnx.core.datatype import DataType
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes

    fixed = ModelProto()
    fixed.CopyFrom(model)
    (source,) = model_inputs(fixed)
    source.type.tensor_type.shape.dim[0].dim_value = batch
    # Stored shapes of another batch would contradict.
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    # With FINN's annotated types, it refuses images that are not whole numbers.
    del fixed.graph.quantization_annotation[:]
    _channels_first(fixed)
    shaped = ModelWrapper(fixed).transform(InferShapes())
    for node in shaped.graph.node:
        if node.op_type == "Im2Col":
            # Without a type it does not run; this one allows any padding.
            shaped.set_tensor_datatype(node.input[0], DataType["FLOAT32"])
    return shaped


def _execute(shaped: Any, images: NDArray[Any]) -> Arrays:
    """Compute all tensors of QONNX's model."""
    from qonnx.core.onnx_exec import execute_onnx

    stored = {tensor.name for tensor in shaped.graph.initializer}
    (source,) = (value.name for value in shaped.graph.input if value.name not in stored)
    with warnings.catch_warnings():
        # It warns about shapes that a file leaves out.
        warnings.simplefilter("ignore")
        computed: Arrays = execute_onnx(shaped, {source: images}, return_full_exec_context=True)
    return computed


def _dependent_tensors(model: ModelProto) -> set[str]:
    """Name the tensors that depend on the values of the images, not only on their shape."""
    dependent = {value.name for value in model_inputs(model)}
    for node in model.graph.node:
        if node.op_type != "Shape" and dependent.intersection(node.input):
            dependent.update(name for name in node.output if name)
    return dependent


def _fixes_batch(model: ModelProto, dependent: set[str]) -> bool:
    """Whether a Reshape fixes the batch size."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
        if node.op_type == "Constant" and values:
            stored[node.output[0]] = values[0]
    shapes = [
        numpy_helper.to_array(stored[node.input[1]]).ravel()
        for node in model.graph.node
        if node.op_type == "Reshape" and node.input[0] in dependent and node.input[1] in stored
    ]
    return any((shape[:1] > 0).any() for shape in shapes)


def _channels_first(model: ModelProto) -> None:
    """Replace operators with channels last by ONNX's own between transposes.

    QONNX's executor does the same, but not for files that leave shapes out.
    """
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type == "MaxPoolNHWC":
            node.op_type = "MaxPool"
        elif node.domain != CHANNELS_LAST_DOMAIN:
            model.graph.node.append(node)
            continue
        turned = len(node.input) if node.op_type == "Conv" else 1
        for place, name in enumerate(node.input[: min(turned, 2)]):
            node.input[place] = f"{node.output[0]}_input_{place}"
            model.graph.node.append(
                helper.make_node("Transpose", [name], [node.input[place]], perm=[0, 3, 1, 2])
            )
        result, node.output[0] = node.output[0], f"{node.output[0]}_channels_first"
        node.domain = ""
        model.graph.node.append(node)
        model.graph.node.append(
            helper.make_node("Transpose", [node.output[0]], [result], perm=[0, 2, 3, 1])
        )


EXECUTORS = (
    Executor(name="ONNX Runtime", package="onnxruntime", qonnx=False, begin=_runtime),
    Executor(name="QONNX's executor", package="qonnx", qonnx=True, begin=_qonnx),
    Executor(name="ONNX's reference", package="onnx", qonnx=False, begin=_reference),
)
"""In the order in which they are tried."""


def run_onnx(path: Path | str, images: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Run an ONNX file as it is, with the first executor that can.

    Parameters
    ----------
    path : Path or str
    images : array, shape (N, *shape of the file's input)

    Returns
    -------
    dict of str to array
        Results by output of the file.

    Raises
    ------
    ExecutorError
        If no executor runs the file.
    """
    model = load_model(Path(path))
    names = [value.name for value in model.graph.output]
    (source,) = model_inputs(model)
    sizes = source.type.tensor_type.shape.dim
    batch = max(sizes[0].dim_value if sizes else 1, 1)
    # The first images once more, to fill the last batch.
    filled = images[np.arange(-(-len(images) // batch) * batch) % len(images)]
    reasons = []
    for executor in EXECUTORS:
        if not executor.runs(model):
            continue
        try:
            computed = executor.run(model, filled, names)
            return {name: values[: len(images)] for name, values in computed.items()}
        except ExecutorError as error:
            reasons.append(f"{executor} does not run it ({error})")
    raise ExecutorError("; ".join(reasons))

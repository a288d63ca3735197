"""Programs that run ONNX files themselves, so that an imported network is compared with them."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

__all__ = ["EXECUTORS", "Executor", "ExecutorError"]

Arrays = Mapping[str, NDArray[Any]]

OF_QONNX = {"finn.custom_op.general", "onnx.brevitas", "qonnx.custom_op.general"}
CHANNELS_LAST = "qonnx.custom_op.channels_last"
PRECISE = "session.x64quantprecision"
"""Without it, kernels for AVX2 saturate sums of two products at 16 bits."""
ERRORS_ONLY = 4


class ExecutorError(Exception):
    """A program that cannot run a file, in its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """A program that runs ONNX files.

    Attributes
    ----------
    name : str
        For the user.
    package : str
        That it is part of.
    qonnx : bool
        Whether it runs files with QONNX's operators, or files without.
    begin : callable
        From a model and names of tensors to what gives these tensors for a batch of images.
    """

    name: str
    package: str
    qonnx: bool
    begin: Callable[[ModelProto, Sequence[str]], Callable[[NDArray[Any]], Arrays]]

    def __str__(self) -> str:
        return f"{self.name} {metadata.version(self.package)}"

    def runs(self, model: ModelProto) -> bool:
        """Whether the file has operators of the kind that it runs."""
        return self.qonnx == any(node.domain in OF_QONNX for node in model.graph.node)

    def run(self, model: ModelProto, images: NDArray[Any], tensors: Sequence[str]) -> Arrays:
        """Compute tensors of a model.

        Parameters
        ----------
        model : ModelProto
        images : array, shape (N, ...)
            In as many batches as the file asks for.
        tensors : sequence of str

        Raises
        ------
        ExecutorError
            If it cannot run the file.
        """
        stored = {each.name for each in model.graph.initializer}
        (source,) = (each for each in model.graph.input if each.name not in stored)
        sizes = source.type.tensor_type.shape.dim
        fixed = bool(sizes and sizes[0].dim_value > 0) and not self.qonnx
        batch = sizes[0].dim_value if fixed else len(images)
        try:
            compute = self.begin(model, tensors)
            parts = [compute(images[start : start + batch]) for start in _starts(images, batch)]
        except Exception as error:  # These programs raise whatever they like.
            said = " ".join(str(error).split())[:200] or type(error).__name__
            raise ExecutorError(said) from error
        return {name: np.concatenate([part[name] for part in parts]) for name in tensors}


def _starts(images: NDArray[Any], batch: int) -> Iterable[int]:
    if len(images) % batch:
        raise ValueError(f"the file reads {batch} images at once, {len(images)} were given")
    return range(0, len(images), batch)


def _showing(model: ModelProto, tensors: Sequence[str]) -> ModelProto:
    """Make tensors inside the graph outputs of it."""
    shown = ModelProto()
    shown.CopyFrom(model)
    del shown.graph.output[:]
    shown.graph.output.extend(ValueInfoProto(name=name) for name in tensors)
    return shown


def _runtime(model: ModelProto, tensors: Sequence[str]) -> Callable[[NDArray[Any]], Arrays]:
    """ONNX Runtime, operator by operator as the file says."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = 1
    options.add_session_config_entry(PRECISE, "1")
    session = onnxruntime.InferenceSession(
        _showing(model, tensors).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (source,) = (each.name for each in session.get_inputs())

    def compute(images: NDArray[Any]) -> Arrays:
        return dict(zip(tensors, session.run(list(tensors), {source: images}), strict=True))

    return compute


def _reference(model: ModelProto, tensors: Sequence[str]) -> Callable[[NDArray[Any]], Arrays]:
    """ONNX's own definitions, in NumPy."""
    evaluator = ReferenceEvaluator(_showing(model, tensors))
    stored = {each.name for each in model.graph.initializer}
    (source,) = (each.name for each in model.graph.input if each.name not in stored)

    def compute(images: NDArray[Any]) -> Arrays:
        return dict(zip(tensors, evaluator.run(None, {source: images}), strict=True))

    return compute


def _qonnx(model: ModelProto, tensors: Sequence[str]) -> Callable[[NDArray[Any]], Arrays]:
    """QONNX's executor, node by node.

    It takes much longer for each node than for each image. So all images go as one batch, unless
    the file is written for one image alone.
    """
    moved = _following(model)
    for_one = _reshapes_one(model, moved)

    def together(images: NDArray[Any]) -> Arrays | None:
        try:
            found = _executed(_of_batch(model, len(images)), images)
            return found if all(len(found[name]) == len(images) for name in moved) else None
        except Exception:  # It raises whatever it likes, and does so again for one image.
            return None

    def compute(images: NDArray[Any]) -> Arrays:
        if len(images) > 1 and not for_one and (found := together(images)) is not None:
            return {name: found[name] for name in tensors}
        single = _of_batch(model, 1)
        parts = [_executed(single, images[place : place + 1]) for place in range(len(images))]
        return {name: np.concatenate([part[name] for part in parts]) for name in tensors}

    return compute


def _of_batch(model: ModelProto, batch: int) -> Any:
    """The model as QONNX has it, with all sizes."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.infer_shapes import InferShapes

    fixed = ModelProto()
    fixed.CopyFrom(model)
    stored = {each.name for each in fixed.graph.initializer}
    (source,) = (each for each in fixed.graph.input if each.name not in stored)
    source.type.tensor_type.shape.dim[0].dim_value = batch
    # Sizes that were written down for another batch would contradict.
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    # With types that FINN annotated, it refuses images that are no whole numbers.
    del fixed.graph.quantization_annotation[:]
    _channels_first(fixed)
    return ModelWrapper(fixed).transform(InferShapes())


def _executed(shaped: Any, images: NDArray[Any]) -> Arrays:
    """All tensors of a model of QONNX."""
    from qonnx.core.onnx_exec import execute_onnx

    stored = {each.name for each in shaped.graph.initializer}
    (source,) = (each.name for each in shaped.graph.input if each.name not in stored)
    with warnings.catch_warnings():
        # It warns of sizes that a file does not write down.
        warnings.simplefilter("ignore")
        found: Arrays = execute_onnx(shaped, {source: images}, return_full_exec_context=True)
    return found


def _following(model: ModelProto) -> set[str]:
    """Tensors that depend on the images, and not on their sizes alone."""
    stored = {each.name for each in model.graph.initializer}
    found = {each.name for each in model.graph.input} - stored
    for node in model.graph.node:
        if node.op_type != "Shape" and found.intersection(node.input):
            found.update(name for name in node.output if name)
    return found


def _reshapes_one(model: ModelProto, moved: set[str]) -> bool:
    """Whether a Reshape says how many images there are."""
    stored = {each.name: each for each in model.graph.initializer}
    for node in model.graph.node:
        values = [each.t for each in node.attribute if each.name == "value"]
        if node.op_type == "Constant" and values:
            stored[node.output[0]] = values[0]
    shapes = [
        numpy_helper.to_array(stored[node.input[1]]).ravel()
        for node in model.graph.node
        if node.op_type == "Reshape" and node.input[0] in moved and node.input[1] in stored
    ]
    return any((shape[:1] > 0).any() for shape in shapes)


def _channels_first(model: ModelProto) -> None:
    """Write operators with channels last as ONNX's own between transposes.

    QONNX's executor does the same, but not for files that leave sizes out.
    """
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.domain != CHANNELS_LAST:
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

"""The content of a TFLite file: tensors with their quantization, and operators."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tflite as schema
from systolith.tflite.errors import TfliteError

__all__ = ["FileGraph", "FileOperator", "FileTensor", "parse_tflite"]

_DTYPES: Mapping[int, Any] = {
    schema.TensorType.INT8: np.int8,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.FLOAT32: np.float32,
}
"""Types of tensors that are read; others keep their number."""


def _names_of(enum: type) -> dict[int, str]:
    return {value: name for name, value in vars(enum).items() if isinstance(value, int)}


_OPERATORS = _names_of(schema.BuiltinOperator)
_TYPES = _names_of(schema.TensorType)
_OPTIONS = {
    "CONV_2D": schema.Conv2DOptions,
    "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptions,
    "FULLY_CONNECTED": schema.FullyConnectedOptions,
    "ADD": schema.AddOptions,
    "MUL": schema.MulOptions,
    "AVERAGE_POOL_2D": schema.Pool2DOptions,
    "MAX_POOL_2D": schema.Pool2DOptions,
    "MEAN": schema.ReducerOptions,
    "CONCATENATION": schema.ConcatenationOptions,
    "DEPTH_TO_SPACE": schema.DepthToSpaceOptions,
    "REDUCE_MAX": schema.ReducerOptions,
    "RESIZE_NEAREST_NEIGHBOR": schema.ResizeNearestNeighborOptions,
    "SPACE_TO_DEPTH": schema.SpaceToDepthOptions,
    "SPLIT": schema.SplitOptions,
    "STRIDED_SLICE": schema.StridedSliceOptions,
    "SUB": schema.SubOptions,
    "TRANSPOSE_CONV": schema.TransposeConvOptions,
    "PACK": schema.PackOptions,
    "UNPACK": schema.UnpackOptions,
    "GATHER": schema.GatherOptions,
    "MIRROR_PAD": schema.MirrorPadOptions,
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileTensor:
    """A tensor of a file.

    Attributes
    ----------
    name : str
    type : str
        Such as ``"INT8"``.
    shape : tuple of int
        With the batch; images are (N, H, W, C).
    scale : array of float32
        One, or one for each channel along `axis`; empty if the tensor is not quantized.
    zero_point : array of int64
    axis : int
    values : array, optional
        None if the tensor is computed.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int
    values: NDArray[Any] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileOperator:
    """An operator of a file.

    Attributes
    ----------
    kind : str
        Such as ``"CONV_2D"``.
    inputs, outputs : tuple of int
        Numbers of tensors; -1 for an input that is left out.
    options : Any
        The file's record of attributes; None if there is none.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileGraph:
    """The only graph of a file.

    Attributes
    ----------
    name : str
    content : bytes
        The whole file.
    tensors, operators
    inputs, outputs : tuple of int
        Numbers of tensors.
    """

    name: str
    content: bytes
    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def parse_tflite(path: Path) -> FileGraph:
    """Read a file.

    Raises
    ------
    TfliteError
        If it is missing, damaged, no TFLite file, or has more than one graph.
    """
    if not path.is_file():
        raise TfliteError([f"there is no file '{path}'"])
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise TfliteError([f"'{path}' is no TFLite file: it does not begin with 'TFL3'"])
    try:
        model = schema.Model.GetRootAs(content, 0)
        if model.SubgraphsLength() != 1:
            count = model.SubgraphsLength()
            raise TfliteError([f"'{path}' has {count} graphs; files with one graph are supported"])
        return _read_graph(model, content, path.stem)
    except TfliteError:
        raise
    # Damaged offsets lead the reader anywhere.
    except Exception as error:
        raise TfliteError([f"'{path}' is damaged: {error}"]) from error


def _read_graph(model: Any, content: bytes, name: str) -> FileGraph:
    graph = model.Subgraphs(0)
    return FileGraph(
        name=name,
        content=content,
        tensors=tuple(
            _read_tensor(model, graph.Tensors(number)) for number in range(graph.TensorsLength())
        ),
        operators=tuple(
            _read_operator(model, graph.Operators(number))
            for number in range(graph.OperatorsLength())
        ),
        inputs=tuple(graph.Inputs(number) for number in range(graph.InputsLength())),
        outputs=tuple(graph.Outputs(number) for number in range(graph.OutputsLength())),
    )


def _read_tensor(model: Any, tensor: Any) -> FileTensor:
    shape = tuple(tensor.Shape(number) for number in range(tensor.ShapeLength()))
    found = tensor.Quantization()
    scale: list[float] = []
    zero: list[int] = []
    axis = 0
    if found is not None:
        scale = [found.Scale(number) for number in range(found.ScaleLength())]
        zero = [found.ZeroPoint(number) for number in range(found.ZeroPointLength())]
        axis = found.QuantizedDimension()
    buffer, values = model.Buffers(tensor.Buffer()), None
    dtype = _DTYPES.get(tensor.Type())
    if buffer.DataLength() and dtype is not None:
        values = buffer.DataAsNumpy().view(dtype).reshape(shape)
    return FileTensor(
        name=tensor.Name().decode(),
        type=_TYPES.get(tensor.Type(), str(tensor.Type())),
        shape=shape,
        scale=np.array(scale, dtype=np.float32),
        zero_point=np.array(zero or [0] * len(scale), dtype=np.int64),
        axis=axis,
        values=values,
    )


def _read_operator(model: Any, operator: Any) -> FileOperator:
    code = model.OperatorCodes(operator.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    kind = _OPERATORS.get(number, str(number))
    if kind == "CUSTOM" and code.CustomCode():
        kind = f"CUSTOM {code.CustomCode().decode()}"
    options, table = None, operator.BuiltinOptions()
    if kind in _OPTIONS and table is not None:
        options = _OPTIONS[kind]()
        options.Init(table.Bytes, table.Pos)
    return FileOperator(
        kind=kind,
        inputs=tuple(operator.Inputs(number) for number in range(operator.InputsLength())),
        outputs=tuple(operator.Outputs(number) for number in range(operator.OutputsLength())),
        options=options,
    )

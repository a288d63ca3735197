"""TFLite files, written with the builder of flatbuffers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite as schema
from numpy.typing import NDArray

__all__ = ["TfliteFile"]

_TYPES = {
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
    "float32": schema.TensorType.FLOAT32,
    "uint8": schema.TensorType.UINT8,
}


_VERSIONS = {"BROADCAST_TO": 2, "TILE": 3}
"""Versions of operators that the converter of TensorFlow writes for int8; others have 1."""


@dataclass
class _Tensor:
    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: list[float]
    zero: list[int]
    axis: int
    values: NDArray[Any] | None


@dataclass
class _Operator:
    kind: str
    inputs: list[int]
    outputs: list[int]
    options: Callable[[flatbuffers.Builder], int] | None
    options_type: int


@dataclass
class TfliteFile:
    """A graph of a TFLite file while it is made; tensors are numbered as they are added."""

    tensors: list[_Tensor] = field(default_factory=list)
    operators: list[_Operator] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        scale: float | Sequence[float] | NDArray[Any] = (),
        zero: int = 0,
        *,
        dtype: str = "int8",
        axis: int = 0,
        values: NDArray[Any] | None = None,
    ) -> int:
        """Add a tensor; with values it is constant. Returns its number."""
        scales = [float(one) for one in np.atleast_1d(np.asarray(scale, dtype=np.float32))]
        zeros = [zero] * len(scales)
        self.tensors.append(_Tensor(name, tuple(shape), dtype, scales, zeros, axis, values))
        return len(self.tensors) - 1

    def constant(self, name: str, values: NDArray[Any], **fields: Any) -> int:
        """Add a constant tensor of the type of its values."""
        return self.tensor(name, values.shape, dtype=str(values.dtype), values=values, **fields)

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: str = "",
        **fields: float,
    ) -> None:
        """Add an operator; `options` is the record of its attributes, such as ``Conv2DOptions``."""

        def write(builder: flatbuffers.Builder) -> int:
            getattr(schema, f"{options}Start")(builder)
            for name, value in fields.items():
                getattr(schema, f"{options}Add{name}")(builder, value)
            return int(getattr(schema, f"{options}End")(builder))

        number = getattr(schema.BuiltinOptions, options) if options else 0
        self.operators.append(
            _Operator(kind, list(inputs), list(outputs), write if options else None, number)
        )

    def write(self, path: Path) -> Path:
        """Write the file."""
        path.write_bytes(self.encode())
        return path

    def encode(self) -> bytes:
        """Give the content of the file."""
        builder = flatbuffers.Builder(1024)
        kinds = list(dict.fromkeys(operator.kind for operator in self.operators))
        buffers = [self._buffer(builder, None)]
        buffers += [self._buffer(builder, tensor.values) for tensor in self.tensors]
        tensors = [
            self._tensor(builder, tensor, number + 1) for number, tensor in enumerate(self.tensors)
        ]
        operators = [
            self._operator(builder, operator, kinds.index(operator.kind))
            for operator in self.operators
        ]
        tensors_at = _offsets(builder, tensors, schema.SubGraphStartTensorsVector)
        operators_at = _offsets(builder, operators, schema.SubGraphStartOperatorsVector)
        inputs = builder.CreateNumpyVector(np.array(self.inputs, dtype=np.int32))
        outputs = builder.CreateNumpyVector(np.array(self.outputs, dtype=np.int32))
        schema.SubGraphStart(builder)
        schema.SubGraphAddTensors(builder, tensors_at)
        schema.SubGraphAddInputs(builder, inputs)
        schema.SubGraphAddOutputs(builder, outputs)
        schema.SubGraphAddOperators(builder, operators_at)
        graph = schema.SubGraphEnd(builder)
        codes = [self._code(builder, kind) for kind in kinds]
        codes_at = _offsets(builder, codes, schema.ModelStartOperatorCodesVector)
        graphs_at = _offsets(builder, [graph], schema.ModelStartSubgraphsVector)
        buffers_at = _offsets(builder, buffers, schema.ModelStartBuffersVector)
        schema.ModelStart(builder)
        schema.ModelAddVersion(builder, 3)
        schema.ModelAddOperatorCodes(builder, codes_at)
        schema.ModelAddSubgraphs(builder, graphs_at)
        schema.ModelAddBuffers(builder, buffers_at)
        builder.Finish(schema.ModelEnd(builder), b"TFL3")
        return bytes(builder.Output())

    @staticmethod
    def _buffer(builder: flatbuffers.Builder, values: NDArray[Any] | None) -> int:
        data = None
        if values is not None:
            builder.StartVector(1, values.nbytes, 16)
            raw = values.astype(values.dtype.newbyteorder("<")).tobytes()
            builder.head -= len(raw)
            builder.Bytes[builder.head : builder.head + len(raw)] = raw
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))

    @staticmethod
    def _tensor(builder: flatbuffers.Builder, tensor: _Tensor, buffer: int) -> int:
        name = builder.CreateString(tensor.name)
        shape = builder.CreateNumpyVector(np.array(tensor.shape, dtype=np.int32))
        quantization = None
        if tensor.scale:
            scale = builder.CreateNumpyVector(np.array(tensor.scale, dtype=np.float32))
            zero = builder.CreateNumpyVector(np.array(tensor.zero, dtype=np.int64))
            schema.QuantizationParametersStart(builder)
            schema.QuantizationParametersAddScale(builder, scale)
            schema.QuantizationParametersAddZeroPoint(builder, zero)
            schema.QuantizationParametersAddQuantizedDimension(builder, tensor.axis)
            quantization = schema.QuantizationParametersEnd(builder)
        schema.TensorStart(builder)
        schema.TensorAddShape(builder, shape)
        schema.TensorAddType(builder, _TYPES[tensor.dtype])
        schema.TensorAddBuffer(builder, buffer)
        schema.TensorAddName(builder, name)
        if quantization is not None:
            schema.TensorAddQuantization(builder, quantization)
        return int(schema.TensorEnd(builder))

    @staticmethod
    def _operator(builder: flatbuffers.Builder, operator: _Operator, code: int) -> int:
        inputs = builder.CreateNumpyVector(np.array(operator.inputs, dtype=np.int32))
        outputs = builder.CreateNumpyVector(np.array(operator.outputs, dtype=np.int32))
        options = operator.options(builder) if operator.options else None
        schema.OperatorStart(builder)
        schema.OperatorAddOpcodeIndex(builder, code)
        schema.OperatorAddInputs(builder, inputs)
        schema.OperatorAddOutputs(builder, outputs)
        if options is not None:
            schema.OperatorAddBuiltinOptionsType(builder, operator.options_type)
            schema.OperatorAddBuiltinOptions(builder, options)
        return int(schema.OperatorEnd(builder))

    @staticmethod
    def _code(builder: flatbuffers.Builder, kind: str) -> int:
        number = getattr(schema.BuiltinOperator, kind)
        schema.OperatorCodeStart(builder)
        schema.OperatorCodeAddDeprecatedBuiltinCode(builder, min(number, 127))
        schema.OperatorCodeAddVersion(builder, _VERSIONS.get(kind, 1))
        schema.OperatorCodeAddBuiltinCode(builder, number)
        return int(schema.OperatorCodeEnd(builder))


def _offsets(
    builder: flatbuffers.Builder, items: list[int], start: Callable[[flatbuffers.Builder, int], Any]
) -> int:
    start(builder, len(items))
    for item in reversed(items):
        builder.PrependUOffsetTRelative(item)
    return int(builder.EndVector())

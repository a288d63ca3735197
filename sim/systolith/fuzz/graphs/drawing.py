"""Draw ONNX graphs: QDQ, QONNX, and operators on integers."""

from functools import partial
from typing import Any

import numpy as np

from systolith.fuzz.choices import Choices
from systolith.fuzz.graphs import moves, nodes, weighted
from systolith.fuzz.graphs.graph import Graph
from systolith.fuzz.graphs.integers import draw_integer_graph
from systolith.fuzz.graphs.products import write_gate, write_product
from systolith.fuzz.graphs.quantizers import QuantizedTensor, write_quantize_linear, write_quantizer
from systolith.fuzz.graphs.writer import Writer

__all__ = ["draw_graph"]

IMAGES = 6
RARE_PERCENT = 7
OPSETS = (13, 17, 11, 14, 15, 16, 18, 19, 20, 21, 10, 12)
QONNX_OPSETS = (13, 11, 17, 9, 14, 16)
IR_VERSIONS = (8, 9, 7, 10, 6, 4, 3)
ATTEMPTS = 30


def draw_graph(choices: Choices, most_layers: int = 5) -> Graph:
    """Draw a graph that the reference runs and whose outputs depend on its images."""
    for _ in range(ATTEMPTS):
        graph = _draw(choices, most_layers)
        if graph is not None:
            return graph
    raise AssertionError(f"{ATTEMPTS} graphs did not run")


def _draw(choices: Choices, most_layers: int) -> Graph | None:
    qonnx = choices.chance(30)
    writer = Writer(
        choices=choices,
        opset=choices.one_of(QONNX_OPSETS if qonnx else OPSETS),
        ir_version=choices.one_of(IR_VERSIONS) if choices.chance(50) else 8,
        rare=RARE_PERCENT if choices.chance(50) else 0,
        listed=choices.chance(10),
        qonnx=qonnx,
        dyadic=choices.chance(75),
    )
    on_integers = not qonnx and choices.chance(25)
    _draw_images(writer, integer=not qonnx and choices.chance(8))
    output = (
        draw_integer_graph(writer, most_layers)
        if on_integers
        else _Drawing(writer).graph(most_layers)
    )
    if output is None:
        return None
    values = writer.values[output].astype(np.float64)
    if values.ndim < 2 or len(values) != IMAGES:
        return None
    if not np.isfinite(values).all() or values.std(0).max() == 0:
        return None
    covers = ["on integers"] if on_integers else ["QONNX"] if qonnx else ["QDQ"]
    covers += [f"operator set {writer.opset}", f"IR {writer.ir_version}"]
    covers += ["initializers listed as inputs"] if writer.listed else []
    covers += ["dyadic"] if writer.dyadic else ["any scales"]
    batch: int | str = "N" if choices.chance(70) else IMAGES
    return Graph(
        model=writer.model(output, batch=batch),
        images=writer.values[writer.input_name],
        qonnx=qonnx,
        dyadic=writer.dyadic,
        types=writer.types,
        covers=tuple(sorted({*covers, *writer.covers})),
    )


def _draw_images(writer: Writer, *, integer: bool) -> None:
    choices = writer.choices
    shape: tuple[int, ...] = (choices.integer(1, 3), choices.integer(4, 8), choices.integer(4, 8))
    if choices.chance(20):
        shape = (choices.integer(3, 16),)
    rng = choices.generator()
    if integer:
        dtype = choices.one_of([np.uint8, np.int8])
        info = np.iinfo(dtype)
        images = rng.integers(info.min, info.max + 1, (IMAGES, *shape)).astype(dtype)
    else:
        images = (rng.integers(-64, 65, (IMAGES, *shape)) / 16).astype(np.float32)
        if choices.chance(50):
            images = np.abs(images)
    writer.values[writer.input_name] = images


class _Drawing:
    """A graph of float operators between quantizers."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.choices = writer.choices
        self.points: list[str] = []

    def graph(self, most_layers: int) -> str | None:
        """Draw layer after layer. Returns the output."""
        writer = self.writer
        x = writer.attempt(self._draw_front)
        if x is None:
            return None
        self.points.append(x)
        for _ in range(self.choices.integer(1, most_layers)):
            source = self.points[-1]
            result = writer.attempt(partial(self._draw_layer, source))
            if result is not None:
                self.points.append(result)
        if len(writer.shape(self.points[-1])) == 3 and writer.chance(50):
            result = writer.attempt(lambda: self._draw_end(self.points[-1]))
            if result is not None:
                self.points.append(result)
        if len(self.points) < 2:
            return None
        return writer.attempt(lambda: self._draw_output(self.points[-1])) or self.points[-1]

    def _draw_front(self) -> str:
        """Quantize the images, perhaps after operators that the host can run."""
        writer, x = self.writer, self.writer.input_name
        if writer.values[x].dtype.kind in "iu":
            dtype = writer.values[x].dtype.type
            zero = int(writer.choices.integer(0, 100)) if writer.chance(40) else 0
            scale = 0.125 if writer.dyadic else 0.1
            point = QuantizedTensor(name=x, scale=scale, zero=zero, dtype=dtype)
            parameters = [writer.const(scale), writer.const(zero, dtype)]
            result = writer.add("DequantizeLinear", point.name, *parameters)
            writer.scales[result] = np.asarray(scale)
            return result
        if writer.chance(15):
            forms = [nodes.write_identity, nodes.write_constant_operation, nodes.write_clip]
            if len(writer.shape(x)) == 3:
                forms += [nodes.write_flatten] * 2
                if writer.rare:
                    forms += [nodes.write_pad]
            x = writer.choices.one_of(forms)(writer, x)
        turned = len(writer.shape(x)) == 3 and writer.chance(10)
        if turned and writer.chance(60):
            return write_quantizer(writer, writer.add("Transpose", x, perm=[0, 3, 1, 2]))
        x = write_quantizer(writer, x)
        return writer.add("Transpose", x, perm=[0, 3, 1, 2]) if turned else x

    def _draw_layer(self, x: str) -> str:
        """Draw an operator, perhaps with a batch norm and an activation, and a quantizer."""
        writer, choices = self.writer, self.choices
        if len(writer.shape(x)) != 3:
            return self._draw_vector_layer(x)
        match choices.integer(0, 31):
            case 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7:
                y = self._finish(weighted.write_convolution(writer, x))
            case 8 | 9 | 10:
                y = self._draw_residual(x)
            case 11:
                y = weighted.write_convolution(writer, nodes.write_pad(writer, x))
            case 12 | 13 | 14:
                y = nodes.write_pool(writer, x)
            case 15:
                y = nodes.write_global_pool(writer, x)
            case 16:
                return nodes.write_flatten(writer, x)
            case 17:
                return nodes.write_identity(writer, x)
            case 18:
                write = nodes.write_function if writer.chance(50) else nodes.write_clip
                y = write(writer, x)
            case 19 | 20 | 21:
                return self._quantize_some(moves.write_move(writer, x))
            case 22 | 23:
                return self._quantize_some(moves.write_split_and_join(writer, x))
            case 24 | 25:
                y = self._draw_join(x)
            case 26:
                return self._quantize_some(nodes.write_pad(writer, x))
            case 27 | 28:
                y = self._draw_product(x)
            case 29 | 30:
                y = self._finish(weighted.write_transposed_convolution(writer, x))
            case _:
                y = nodes.write_constant_operation(writer, x)
        if writer.rarely() and not writer.qonnx:
            return write_quantizer(writer, nodes.write_batch_norm(writer, y))
        return write_quantizer(writer, y)

    def _draw_vector_layer(self, x: str) -> str:
        writer = self.writer
        if len(writer.shape(x)) != 1:
            return write_quantizer(writer, nodes.write_clip(writer, x))
        if writer.chance(8):
            return write_quantizer(writer, nodes.write_function(writer, x))
        if writer.chance(5):
            return write_quantizer(writer, write_product(writer, x, self._partner(x)))
        if writer.chance(5):
            return write_quantizer(writer, nodes.write_constant_operation(writer, x))
        match self.choices.integer(0, 9):
            case 0:
                return write_quantizer(writer, nodes.write_clip(writer, x))
            case 1:
                if writer.rarely(4):
                    return nodes.write_unflatten(writer, x)
                return nodes.write_identity(writer, x)
            case 2:
                return write_quantizer(writer, writer.add("Add", x, self._partner(x)))
            case _:
                return write_quantizer(writer, self._finish(weighted.write_dense(writer, x)))

    def _finish(self, y: str) -> str:
        """Draw operators between a layer with weights and its quantizer."""
        writer = self.writer
        if writer.chance(25):
            y = nodes.write_batch_norm(writer, y)
        elif writer.chance(10):
            y = nodes.write_constant_operation(writer, y)
        if writer.chance(55):
            y = nodes.write_clip(writer, y)
        if len(writer.shape(y)) == 3 and writer.chance(8):
            y = writer.add("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
        if len(writer.shape(y)) == 3 and writer.chance(6):
            y = nodes.write_flatten(writer, y)
        return y

    def _draw_residual(self, x: str) -> str:
        writer = self.writer
        y = write_quantizer(
            writer, self._finish(weighted.write_convolution(writer, x, same_size=True))
        )
        partner = self._partner(y) if writer.chance(30) else x
        operands = [y, partner] if writer.chance(50) else [partner, y]
        op = "Add" if not writer.rarely() else self.choices.one_of(["Sub", "Mul", "Concat"])
        options: dict[str, Any] = {"axis": 1} if op == "Concat" else {}
        result = writer.add(op, *operands, **options)
        return nodes.write_clip(writer, result) if writer.chance(40) else result

    def _draw_product(self, x: str) -> str:
        """Draw a product with a gate, or with an earlier tensor of the same shape."""
        writer = self.writer
        gate = self._partner(x) if writer.chance(30) else write_gate(writer, x)
        return write_product(writer, x, gate)

    def _draw_join(self, x: str) -> str:
        """Draw a concatenation with earlier images of the same size, or of branches."""
        writer, size = self.writer, self.writer.image(x)[1:]
        names = [name for name in self.points if writer.shape(name)[1:] == size]
        parts = [x, *(self.choices.one_of(names) for _ in range(self.choices.integer(1, 2)))]
        if writer.chance(40):
            branch = self._finish(weighted.write_convolution(writer, x, same_size=True))
            if writer.shape(branch)[1:] == size:
                parts[-1] = write_quantizer(writer, branch) if writer.chance(60) else branch
        if writer.chance(50):
            parts.reverse()
        return moves.write_join(writer, parts)

    def _quantize_some(self, y: str) -> str:
        """Put a quantizer behind some results that have a scale already."""
        return write_quantizer(self.writer, y) if self.writer.chance(30) else y

    def _partner(self, x: str) -> str:
        shape = self.writer.shape(x)
        names = [name for name in [x, *self.points] if self.writer.shape(name) == shape]
        return self.choices.one_of(names)

    def _draw_end(self, x: str) -> str:
        """Draw a pool, a flattening and a linear layer."""
        writer = self.writer
        if writer.chance(50):
            x = nodes.write_global_pool(writer, x)
            if writer.chance(70):
                x = write_quantizer(writer, x)
        if len(writer.shape(x)) == 3:
            x = nodes.write_flatten(writer, x)
        return write_quantizer(writer, weighted.write_dense(writer, x))

    def _draw_output(self, x: str) -> str | None:
        """Draw an unquantized output, or a Softmax."""
        writer = self.writer
        if len(writer.shape(x)) == 1 and writer.chance(12):
            y = weighted.write_dense(writer, x)
            if writer.rarely(2):
                writer.dyadic = False
                y = writer.add("Softmax", y, axis=-1)
                return write_quantizer(writer, y) if writer.chance(40) else y
            return y
        if writer.chance(5) and not writer.qonnx:
            return write_quantize_linear(writer, writer.add("Identity", x)).name
        return None

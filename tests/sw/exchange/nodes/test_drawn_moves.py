"""Moves, pads, bounds and constants drawn at random, before, between and after quantizers."""

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from systolith.exchange import ExchangeError
from tests.support.onnx_graphs import GraphBuilder, equal_to_runtime

CASES = 120
SIZES = 300
"""Elements of a tensor, beyond which nothing is padded."""


@dataclass
class Drawn:
    """A graph in the making, and the shape that its last tensor has without the batch."""

    rng: np.random.Generator
    shape: list[int]
    made: GraphBuilder = field(init=False)
    x: str = "x"

    def __post_init__(self) -> None:
        self.made = GraphBuilder(tuple(self.shape))

    def node(self, op: str, *inputs: str, **attributes: object) -> None:
        self.x = self.made.node(op, self.x, *inputs, **attributes)

    def moves(self, most: int, zero: int = 0, dtype: type = np.float32) -> None:
        """Some of all that may stand between layers; `zero` stands for zero."""
        for _ in range(self.rng.integers(0, most + 1)):
            choices = [self.transpose, self.reshape, self.unsqueeze, self.squeeze]
            choices += [lambda: self.pad(zero, dtype), lambda: self.clip(zero, dtype)]
            choices += [self.constant] if dtype is np.float32 else []
            choices[self.rng.integers(len(choices))]()

    def transpose(self) -> None:
        order = self.rng.permutation(len(self.shape)).tolist()
        self.node("Transpose", perm=[0, *(axis + 1 for axis in order)])
        self.shape = [self.shape[axis] for axis in order]

    def reshape(self) -> None:
        left, sizes = math.prod(self.shape), []
        for _ in range(self.rng.integers(0, 4)):
            sizes.append(int(self.rng.choice([by for by in range(1, left + 1) if left % by == 0])))
            left //= sizes[-1]
        sizes.append(left)
        given = [-1, *sizes] if self.rng.random() < 0.5 else [0, *sizes[:-1], -1]
        self.node("Reshape", self.made.const(given, np.int64))
        self.shape = sizes

    def unsqueeze(self) -> None:
        axis = int(self.rng.integers(len(self.shape) + 1))
        self.node("Unsqueeze", self.made.const([axis + 1], np.int64))
        self.shape.insert(axis, 1)

    def squeeze(self) -> None:
        if 1 in self.shape and len(self.shape) > 1:
            axis = self.shape.index(1)
            given = axis + 1 if self.rng.random() < 0.5 else axis - len(self.shape)
            self.node("Squeeze", self.made.const([given], np.int64))
            del self.shape[axis]

    def pad(self, zero: int, dtype: type) -> None:
        if math.prod(self.shape) < SIZES:
            before, after = self.rng.integers(0, 2, (2, len(self.shape)))
            pads = self.made.const([0, *before, 0, *after], np.int64)
            self.node("Pad", pads, self.made.const(zero + (self.rng.random() < 0.2), dtype))
            self.shape = [int(size) for size in np.add(self.shape, before + after)]

    def clip(self, zero: int, dtype: type) -> None:
        low = max(zero + int(self.rng.integers(-40, 5)), 0 if dtype is np.uint8 else -128)
        bounds = [low, min(low + int(self.rng.integers(5, 60)), 127)]
        self.node("Clip", *[self.made.const(each, dtype) for each in bounds])

    def constant(self) -> None:
        sizes = [1] * len(self.shape)
        axis = int(self.rng.integers(len(sizes)))
        sizes[axis] = self.shape[axis] if self.rng.random() < 0.7 else 1
        values = self.made.const(np.exp2(self.rng.integers(-1, 2, sizes)))
        self.node(str(self.rng.choice(["Add", "Sub", "Mul", "Div"])), values)

    def quantize(self, scale: float) -> None:
        """Quantize, with moves of the integers."""
        dtype = [np.uint8, np.int8][self.rng.integers(2)]
        zero = int(self.rng.integers(0, 100))
        parameters = [self.made.const(scale), self.made.const(zero, dtype)]
        self.node("QuantizeLinear", *parameters)
        self.moves(2, zero, dtype)
        self.node("DequantizeLinear", *parameters)

    def convolve(self) -> None:
        if len(self.shape) != 3:
            return
        filters, *kernel = self.rng.integers(1, np.minimum([4, *self.shape[1:]], 3) + 1).tolist()
        weight = self.rng.integers(-9, 9, (filters, self.shape[0], *kernel))
        self.node("Conv", self.made.stored(weight, 0.25))
        self.shape = [filters, self.shape[1] - kernel[0] + 1, self.shape[2] - kernel[1] + 1]
        self.quantize(1.0)

    def multiply(self) -> None:
        size = math.prod(self.shape)
        self.node("Reshape", self.made.const([-1, size], np.int64))
        self.node("MatMul", self.made.stored(self.rng.integers(-9, 9, (size, 3)), 0.25))


def _draw(seed: int) -> Drawn:
    rng = np.random.default_rng(seed)
    drawn = Drawn(rng, rng.integers(1, 6, rng.choice([1, 2, 3])).tolist())
    drawn.moves(3)
    drawn.quantize(0.25)
    drawn.moves(2)
    drawn.convolve()
    drawn.moves(1)
    if rng.random() < 0.8:
        drawn.multiply()
    drawn.x = drawn.made.linear(drawn.x, 1.0, 9, np.int8)
    return drawn


def test_equal_to_runtime_or_refused(tmp_path: Path) -> None:
    equal, refused = 0, 0
    for seed in range(CASES):
        made = _draw(seed).made
        path = made.save(tmp_path / f"{seed}.onnx", made.nodes[-1].output[0], opset=18)
        rng = np.random.default_rng(seed)
        images = (rng.integers(-300, 300, (8, *made.shape)) / 16).astype(np.float32)
        try:
            equal_to_runtime(path, images, least=1)
            equal += 1
        except ExchangeError as error:
            assert all(each.startswith(("node '", "output '")) for each in error.problems)
            refused += 1
    assert equal > CASES // 3 and refused > 0

"""One small layer of each kind; fields can be changed."""

from typing import Any

import numpy as np

from systolith.network import (
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Requantize,
)

INT8 = ActType(bits=8, signed=True)


UNIT = Requantize(multiplier=np.array([1]), shift=np.array([0]))


def conv(**fields: Any) -> Conv2d:
    shape = np.shape(fields.get("weight", np.ones((2, 3, 3, 2))))
    filters = shape[0] if shape else 1
    made = {
        "name": "conv",
        "input": "input",
        "weight": np.ones((2, 3, 3, 2), dtype=int),
        "bias": np.zeros(filters, dtype=int),
        "requantize": UNIT,
        "output": INT8,
    }
    return Conv2d(**{**made, **fields})


def linear(**fields: Any) -> Linear:
    made = {
        "name": "fc",
        "input": "input",
        "weight": np.ones((2, 3), dtype=int),
        "bias": np.zeros(2, dtype=int),
        "requantize": UNIT,
        "output": INT8,
    }
    return Linear(**{**made, **fields})


def add(**fields: Any) -> Add:
    made = {
        "name": "add",
        "inputs": ("a", "b"),
        "multipliers": (1, 1),
        "requantize": UNIT,
        "output": INT8,
    }
    return Add(**{**made, **fields})


def max_pool(**fields: Any) -> MaxPool2d:
    made = {"name": "pool", "input": "input", "kernel_size": (2, 3), "stride": (2, 2)}
    return MaxPool2d(**{**made, **fields})


def avg_pool(**fields: Any) -> AvgPool2d:
    made = {"name": "avg", "input": "input", "requantize": UNIT, "output": INT8}
    return AvgPool2d(**{**made, **fields})


def flatten(**fields: Any) -> Flatten:
    return Flatten(**{"name": "flat", "input": "input", **fields})


MAKERS = [conv, linear, add, max_pool, avg_pool, flatten]

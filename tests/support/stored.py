"""A network that has every kind of layer and every field, to be stored."""

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from systolith.network import (
    INPUT,
    ActType,
    Add,
    AvgPool2d,
    Conv2d,
    Flatten,
    Granularity,
    IntegerNetwork,
    KOutOfN,
    Linear,
    MaxPool2d,
    NetworkError,
    Pattern,
    PerNeuron,
    Requantize,
    Strided,
    Tensor,
    load,
)

UINT4 = ActType(bits=4, signed=False, zero_point=2)


REUSE = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=60,
)


def weights(shape: tuple[int, ...], pattern: Pattern) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    mask = pattern.best_mask(rng.random((*shape, 1, 1)[:4])).reshape(shape)
    return {
        "weight": rng.integers(-8, 8, shape) * mask,
        "mask": mask,
        "pattern": pattern,
        "bias": rng.integers(-999, 999, shape[0]),
        "requantize": Requantize(
            multiplier=rng.integers(1, 65536, shape[0]), shift=np.array([20]), clamp=(2, 15)
        ),
        "output": UINT4,
        "weight_bits": 5,
    }


def every_kind() -> IntegerNetwork:
    """Each kind of layer and of pattern."""
    kernels = Pattern(select=KOutOfN(1, 2, Granularity.KERNEL, 2), taps=Strided(2, (1, 1)))
    unit = Requantize(multiplier=np.array([1]), shift=np.array([2]))
    return IntegerNetwork(
        name="all",
        input=Tensor((2, 6, 6), UINT4),
        layers=(
            Conv2d(
                name="conv", input=INPUT, padding=(1, 1, 1, 1), **weights((4, 2, 3, 3), kernels)
            ),
            Conv2d(
                name="deep.0",
                input="conv",
                groups=4,
                stride=(1, 1),
                **weights((4, 1, 1, 1), Pattern()),
            ),
            Add(
                name="add",
                inputs=("conv", "deep.0"),
                multipliers=(3, 5),
                requantize=unit,
                output=UINT4,
            ),
            MaxPool2d(name="most", input="add", kernel_size=(2, 2), stride=(2, 2)),
            AvgPool2d(name="mean", input="most", requantize=unit, output=UINT4),
            Flatten(name="flat", input="mean"),
            Linear(name="fc", input="flat", **weights((6, 4), Pattern(select=PerNeuron(3, 2)))),
            Linear(name="fc2", input="fc", **weights((2, 6), Pattern(select=KOutOfN(2, 3)))),
        ),
        outputs=("fc2", "mean"),
    )


def refusal(path: Path) -> NetworkError:
    with pytest.raises(NetworkError) as error:
        load(path)
    assert all(problem and str(path.parent) in problem for problem in error.value.problems)
    return error.value


def equal(a: Any, b: Any) -> bool:
    """Compare contract objects field by field; they compare by identity themselves."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if is_dataclass(a) and not isinstance(a, type):
        return all(equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return bool(a == b)

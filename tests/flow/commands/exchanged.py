"""A small network to be imported and exported, and how commands are run."""

from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from systolith.cli import app
from systolith.network import (
    ActType,
    Conv2d,
    IntegerNetwork,
    KOutOfN,
    Pattern,
    Requantize,
    Tensor,
    save,
)


def run_command(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def tiny(**changes: object) -> IntegerNetwork:
    """One convolution, 2 out of 4, whose scales are powers of two."""
    rng = np.random.default_rng(0)
    pattern = Pattern(select=KOutOfN(2, 4))
    mask = pattern.best_mask(rng.random((4, 4, 2, 2)))
    requantize = {"multiplier": np.array([1]), "shift": np.array([6])} | changes
    layer = Conv2d(
        name="conv",
        input="input",
        weight=rng.integers(1, 8, mask.shape) * mask,
        weight_bits=4,
        bias=rng.integers(-99, 99, 4),
        mask=mask,
        pattern=pattern,
        requantize=Requantize(**requantize),  # type: ignore[arg-type]
        output=ActType(bits=4, signed=False),
    )
    source = Tensor((4, 3, 3), ActType(bits=4, signed=False))
    return IntegerNetwork(name="tiny", input=source, layers=(layer,))


def saved(network: IntegerNetwork, folder: Path) -> Path:
    path = folder / "network.json"
    save(network, path)
    return path


def random_inputs(network: IntegerNetwork, count: int = 5) -> np.ndarray:
    act = network.input.type
    shape = (count, *network.input.shape)
    return np.random.default_rng(1).integers(act.low, act.high + 1, shape)

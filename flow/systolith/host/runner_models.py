"""Inputs and results of MLPerf Tiny's benchmarks, as EEMBC's runner sends and reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from systolith.network import ActType, IntArray

__all__ = ["RUNNER_MODELS", "InputForm", "RunnerModel"]

Reals = NDArray[np.float64]


class InputForm(Enum):
    """Type of the values that the runner sends."""

    PIXELS = "uint8"
    """Bytes 0..255: the least integer of the input's type is 0."""
    INTEGERS = "int8"
    """The integers of the input."""
    REALS = "float32"
    """Little-endian floats, quantized with the input's scale; ties away from zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerModel:
    """A benchmark.

    Attributes
    ----------
    form : InputForm
    reconstructs : bool
        Whether the result is the mean squared difference of output and input, as for the
        autoencoder; else it is the probability of each class.
    """

    form: InputForm
    reconstructs: bool = False

    @property
    def value_bytes(self) -> int:
        """Bytes of one value."""
        return 4 if self.form is InputForm.REALS else 1

    def read(self, content: bytes, act: ActType, scale: float) -> IntArray:
        """Read the integers of an input.

        Parameters
        ----------
        content : bytes
            As the runner sends them.
        act, scale : ActType, float
            Of the network's input.
        """
        match self.form:
            case InputForm.PIXELS:
                return np.frombuffer(content, dtype=np.uint8).astype(np.int64) + act.low
            case InputForm.INTEGERS:
                return np.frombuffer(content, dtype=np.int8).astype(np.int64)
            case InputForm.REALS:
                ratio = np.frombuffer(content, dtype="<f4") / np.float32(scale)
                nearest = np.sign(ratio) * np.floor(np.abs(ratio) + np.float32(0.5))
                zero = act.zero_point
                return np.asarray(np.clip(nearest.astype(np.int64) + zero, act.low, act.high))

    def results(self, reals: Reals, content: bytes) -> Sequence[float]:
        """Give the numbers that the runner expects.

        Parameters
        ----------
        reals : array
            Real values of the outputs.
        content : bytes
            The input as the runner sent it.
        """
        if self.reconstructs:
            given = np.frombuffer(content, dtype="<f4").astype(np.float64)
            return [float(np.mean((reals - given) ** 2))]
        powers = np.exp(reals - reals.max())
        return [float(value) for value in powers / powers.sum()]


RUNNER_MODELS: Mapping[str, RunnerModel] = MappingProxyType(
    {
        "ad01": RunnerModel(form=InputForm.REALS, reconstructs=True),
        "ic01": RunnerModel(form=InputForm.PIXELS),
        "kws01": RunnerModel(form=InputForm.INTEGERS),
        "vww01": RunnerModel(form=InputForm.PIXELS),
    }
)
"""Benchmarks by the name that the runner asks for."""

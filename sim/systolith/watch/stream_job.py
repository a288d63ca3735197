"""The files between Python outside the simulator and the bench inside it, and stream rules."""

import json
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["StreamJob", "StreamLog", "StreamRule", "Violation", "WordArray"]

WordArray = NDArray[np.uint32]


class StreamRule(Enum):
    """Rules that every stream must obey."""

    VALID_HOLDS = "valid must not fall before the transfer"
    PAYLOAD_HOLDS = "payload must not change while valid waits for ready"
    VALID_RISES_ALONE = "valid must rise without waiting for ready"
    NO_EXTRA_TRANSFER = "there must be no transfer after the last frame"
    NO_HANG = "every transfer must come"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A stream that broke a rule.

    Parameters
    ----------
    layer : str
        Layer whose output the stream carries.
    rule : StreamRule
        Only the first violation of each rule on each stream is kept.
    cycle : int
        0 is the first rising clock edge after reset.
    detail : str
        Description; may be empty.
    """

    layer: str
    rule: StreamRule
    cycle: int
    detail: str = ""

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"stream '{self.layer}', at cycle {self.cycle}: {self.rule.value}{detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamJob:
    """One simulation for :mod:`systolith.watch.stream_bench`.

    Parameters
    ----------
    layers : tuple of str
        Layer of each stream, in the order of the data flow: input, probes, outputs.
    widths : tuple of int
        Width of each payload in bits.
    expected : tuple of int
        Number of transfers of each stream.
    thresholds : tuple of int
        ``gap_begin, gap_end, stall_begin, stall_end``: probabilities times 2**32.
    seeds : tuple of int
        States of the producer and of the consumer at each output.
    watchdog_cycles : int
        Cycles without a transfer that count as a hang.
    withhold : int, optional
        Output whose consumer is never ready; the input repeats until all streams are idle.
    reset_after : int
        Cycles of work before the reset that starts the simulation.
    payloads : str
        File with the input's payload words, uint32, shape (transfers, words).
    log : str
        File to write a :class:`StreamLog` to.
    """

    layers: tuple[str, ...]
    widths: tuple[int, ...]
    expected: tuple[int, ...]
    thresholds: tuple[int, int, int, int]
    seeds: tuple[int, ...]
    watchdog_cycles: int
    withhold: int | None
    reset_after: int
    payloads: str
    log: str

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, path: Path) -> "StreamJob":
        """Read what :meth:`save` wrote."""
        fields = json.loads(path.read_text())
        frozen: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**frozen)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLog:
    """Log of the bench.

    Parameters
    ----------
    words : tuple of array of uint32
        Payloads of each stream's transfers, shape (transfers, words).
    cycles : tuple of array of int
        Cycle of each transfer.
    violations : tuple of (int, str, int, str)
        Stream, name of the :class:`~systolith.watch.StreamRule`, cycle, detail; in order of time.
    waited : tuple of bool
        For each stream, whether the simulation showed that valid rises without ready.
    """

    words: tuple[WordArray, ...]
    cycles: tuple[np.ndarray[Any, np.dtype[np.int64]], ...]
    violations: tuple[tuple[int, str, int, str], ...]
    waited: tuple[bool, ...]

    def save(self, path: Path) -> None:
        """Write one ``.npz`` file."""
        arrays: dict[str, Any] = {"violations": json.dumps(self.violations), "waited": self.waited}
        for index, (words, cycles) in enumerate(zip(self.words, self.cycles, strict=True)):
            arrays |= {f"words_{index}": words, f"cycles_{index}": cycles}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "StreamLog":
        """Read what :meth:`save` wrote."""
        with np.load(path) as arrays:
            count = sum(name.startswith("words_") for name in arrays)
            return cls(
                words=tuple(arrays[f"words_{index}"] for index in range(count)),
                cycles=tuple(arrays[f"cycles_{index}"] for index in range(count)),
                violations=tuple(tuple(v) for v in json.loads(str(arrays["violations"]))),
                waited=tuple(arrays["waited"].tolist()),
            )

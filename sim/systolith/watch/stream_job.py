"""What travels between Python outside the simulator and the bench inside it: files."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["StreamJob", "StreamLog", "WordArray"]

WordArray = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamJob:
    """One simulation for :mod:`systolith.watch.stream_bench`.

    Parameters
    ----------
    layers : tuple of str
        Of each stream, in the order of the data flow: input, probes, outputs.
    widths : tuple of int
        Bits of each payload.
    expected : tuple of int
        Transfers of each stream.
    thresholds : tuple of int
        ``gap_begin, gap_end, stall_begin, stall_end`` where 2**32 is certainty.
    seeds : tuple of int
        Of the producer, and of the consumer at each output: so many streams are outputs.
    watchdog_cycles : int
        This many cycles without a transfer are a hang.
    withhold : int, optional
        Never be ready at this output, and repeat the input until nothing moves.
    reset_after : int
        Work for this many cycles before the reset with which the simulation begins.
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
    """What the bench saw.

    Parameters
    ----------
    words : tuple of array of uint32
        Payloads of each stream's transfers, shape (transfers, words).
    cycles : tuple of array of int
        When each transfer happened.
    violations : tuple of (int, str, int, str)
        Stream, name of the :class:`~systolith.watch.rules.Rule`, cycle, detail; in order of time.
    waited : tuple of bool
        Whether each stream was seen to need no ready for its valid to rise.
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

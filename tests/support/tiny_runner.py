"""The host's side of MLPerf Tiny's serial protocol, as the public documentation describes it."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

__all__ = ["Accuracy", "TinyRunner"]

CHUNK_BYTES = 31
"""Bytes of one ``db`` command."""
LOOPS, LEAST_SECONDS, LEAST_INFERENCES = 5, 10.0, 10
Scores = NDArray[np.float64]


class Line(Protocol):
    """A serial line."""

    def read(self, size: int = 1) -> bytes: ...

    def write(self, data: bytes, /) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """Result of the accuracy mode: share of right classes, area under the curve, and scores."""

    top1: float
    auc: float
    scores: Scores


class TinyRunner:
    """Sends commands that end with ``%`` and reads lines until ``m-ready``."""

    def __init__(self, line: Line, timeout: float = 60.0) -> None:
        self.line, self.timeout = line, timeout
        self._rest = b""

    def ask(self, command: str) -> list[str]:
        """Send a command; returns the lines of the answer without the last."""
        self.line.write(f"{command}%".encode())
        return self.read_until_ready()

    def read_until_ready(self) -> list[str]:
        """Read lines up to ``m-ready``."""
        lines: list[str] = []
        end = time.monotonic() + self.timeout
        while time.monotonic() < end:
            self._rest += self.line.read(4096)
            while b"\r\n" in self._rest:
                line, self._rest = self._rest.split(b"\r\n", 1)
                if line == b"m-ready":
                    return lines
                lines.append(line.decode())
        raise TimeoutError(f"no m-ready after {lines}, {self._rest!r}")

    def identify(self) -> tuple[str, str, str]:
        """Ask for vendor, profile and model."""
        (name,) = self.ask("name")
        profile, model = self.ask("profile")
        return _named("name-dut", name), _named("profile", profile), _named("model", model)

    def load(self, content: bytes) -> None:
        """Send an input, and wait until the device has all of it."""
        assert self.ask(f"db load {len(content)}") == [f"m-[Expecting {len(content)} bytes]"]
        said: list[str] = []
        for start in range(0, len(content), CHUNK_BYTES):
            said = self.ask(f"db {content[start : start + CHUNK_BYTES].hex()}")
        assert said == ["m-load-done"]

    def infer(self, count: int, warmups: int) -> tuple[float, list[float]]:
        """Run inferences. Returns the seconds between both timestamps, and the results."""
        lines = self.ask(f"infer {count} {warmups}")
        stamps = [int(found[1]) for line in lines if (found := re.match(r"m-lap-us-(\d+)$", line))]
        (results,) = [
            [float(value) for value in found[1].split(",")]
            for line in lines
            if (found := re.match(r"m-results-\[([^]]+)\]$", line))
        ]
        assert len(stamps) == 2, lines
        return (stamps[1] - stamps[0]) / 1e6, results

    def measure(self, inputs: Sequence[bytes]) -> float:
        """Performance mode: the median of five loops of 10 s or more, in inferences per second."""
        rates = []
        for content in inputs[:LOOPS]:
            self.load(content)
            count = LEAST_INFERENCES
            seconds, _ = self.infer(count, 1)
            while seconds < LEAST_SECONDS:
                count = int(count * max(LEAST_SECONDS / seconds * 1.1, 2))
                seconds, _ = self.infer(count, 1)
            rates.append(count / seconds)
        assert len(rates) == LOOPS
        return float(np.median(rates))

    def judge(self, inputs: Sequence[bytes], labels: Sequence[int]) -> Accuracy:
        """Accuracy mode: one inference of each input."""
        scores = []
        for content in inputs:
            self.load(content)
            scores.append(self.infer(1, 0)[1])
        values, classes = np.array(scores), np.array(labels)
        shares = values / values.sum(axis=1, keepdims=True)
        auc = roc_auc_score(classes, shares, multi_class="ovr")
        return Accuracy(
            top1=float((values.argmax(axis=1) == classes).mean()), auc=float(auc), scores=values
        )


def _named(key: str, line: str) -> str:
    matched = re.fullmatch(rf"m-{key}-\[(.+)\]", line)
    assert matched, line
    return matched[1]

"""Patterns of gaps at the producer and stalls at the consumer."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["BURSTS", "NEVER", "NONE", "PATTERNS", "RANDOM", "Pause", "Stalls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Pauses of one side: a two-state Markov chain that steps once per cycle.

    The share of paused cycles is ``begin / (begin + end)`` and a pause lasts ``1 / end`` cycles on
    average. A producer that has raised valid keeps it until the transfer, whatever the chain does.

    Parameters
    ----------
    begin : float
        Probability that a pause begins, per running cycle; 0..1.
    end : float
        Probability that it ends, per paused cycle; above 0, at most 1.

    Raises
    ------
    ValueError
        If a probability is out of range.
    """

    begin: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= 1:
            raise ValueError(f"begin must be a probability in 0..1, got {self.begin}")
        if not 0 < self.end <= 1:
            raise ValueError(f"end must be a probability above 0 and at most 1, got {self.end}")

    @classmethod
    def random(cls, probability: float) -> "Pause":
        """Pause each cycle with the same probability, below 1, independently of the others."""
        return cls(begin=probability, end=1 - probability)

    @classmethod
    def bursts(cls, *, pause_cycles: float, run_cycles: float) -> "Pause":
        """Alternate runs and pauses of geometric length with these means, each at least 1 cycle."""
        return cls(begin=1 / run_cycles, end=1 / pause_cycles)

    @property
    def thresholds(self) -> tuple[int, int]:
        """`begin` and `end` on the scale where 2**32 is certainty."""
        return round(self.begin * 2**32), round(self.end * 2**32)


NEVER = Pause()
"""No pauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stalls:
    """Gaps of the producer at the input and stalls of the consumer at each output.

    Parameters
    ----------
    name : str
        For messages.
    producer, consumer : Pause
        The producer and the consumer of each output draw from separate generators.
    """

    name: str
    producer: Pause = field(default=NEVER)
    consumer: Pause = field(default=NEVER)

    def seeds(self, seed: int, outputs: int = 1) -> tuple[int, ...]:
        """Derive a 32-bit state, never zero, for the producer and for each output."""
        return tuple(int(s) | 1 for s in np.random.SeedSequence(seed).generate_state(1 + outputs))


NONE = Stalls(name="none")
RANDOM = Stalls(name="random", producer=Pause.random(0.5), consumer=Pause.random(0.5))
BURSTS = Stalls(
    name="bursts",
    producer=Pause.bursts(pause_cycles=20, run_cycles=20),
    consumer=Pause.bursts(pause_cycles=20, run_cycles=20),
)
PATTERNS = (
    NONE,
    RANDOM,
    BURSTS,
    Stalls(name="slow producer", producer=Pause.random(0.9)),
    Stalls(name="slow consumer", consumer=Pause.random(0.9)),
)
"""Patterns that a verification simulates."""

"""The rules of a stream, and how a broken one is told."""

from dataclasses import dataclass
from enum import Enum

__all__ = ["Rule", "Violation"]


class Rule(Enum):
    """What every stream must keep to."""

    VALID_HOLDS = "valid must not fall before the transfer"
    PAYLOAD_HOLDS = "payload must not change while valid waits for ready"
    VALID_RISES_ALONE = "valid must rise without waiting for ready"
    NO_EXTRA_TRANSFER = "there must be no transfer after the last frame"
    NO_HANG = "every transfer must come"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One stream that broke one rule.

    Parameters
    ----------
    layer : str
        Whose output travels over the stream.
    rule : Rule
        The first break of each rule on each stream is kept.
    cycle : int
        0 is the first rising clock edge after reset.
    detail : str
        What was seen, in words; may be empty.
    """

    layer: str
    rule: Rule
    cycle: int
    detail: str = ""

    def __str__(self) -> str:
        detail = f": {self.detail}" if self.detail else ""
        return f"stream '{self.layer}', at cycle {self.cycle}: {self.rule.value}{detail}"

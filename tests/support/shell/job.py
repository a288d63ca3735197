"""What the bench of a shell needs to know, as a file between pytest and the simulator."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["Results", "ShellJob", "load_job"]


@dataclass(frozen=True, kw_only=True)
class Results:
    """Parameters, and what the network computes with them: results[output][image], as bytes."""

    load: bytes
    results: tuple[tuple[bytes, ...], ...]


@dataclass(frozen=True, kw_only=True)
class ShellJob:
    """Everything is in bytes, as it travels in TDATA."""

    wishbone: bool
    images: tuple[bytes, ...]
    transfers: int
    masks: tuple[bytes, ...]
    """Bits of each result that carry meaning."""
    own: Results
    other: Results
    latency: int
    interval: int
    version: tuple[int, int, int]
    network_hash: str

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), default=bytes.hex))


def load_job(path: Path) -> ShellJob:
    raw = json.loads(path.read_text())
    for name in ("images", "masks"):
        raw[name] = tuple(map(bytes.fromhex, raw[name]))
    for name in ("own", "other"):
        raw[name] = Results(
            load=bytes.fromhex(raw[name]["load"]),
            results=tuple(tuple(map(bytes.fromhex, r)) for r in raw[name]["results"]),
        )
    return ShellJob(**raw)

"""The table of what each operator takes, for the documentation."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

__all__ = ["RESULT", "cost_rows", "error_rows", "read_stages"]

RESULT = Path(__file__).parent / "results" / "operators.json"
TABLE_SIZE = (16, 16, 8)
"""Channels, pixels and bits of the rows that the table shows."""
SHARE, FEW = 0.15, 100
"""Errors that are no fault: this share, or this many."""
LARGE = 200
"""Engines that take less have no error in percent."""


def read_stages() -> list[dict[str, Any]]:
    """Read what was found for each stage."""
    stages: list[dict[str, Any]] = json.loads(RESULT.read_text())["stages"]
    return stages


def cost_rows() -> Iterator[str]:
    """List the stages of each operator at one size: found after synthesis, and planned."""
    yield "| operator | stage | LUTs | planned | flip-flops | planned | multipliers | block RAMs |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in read_stages():
        if (row["channels"], row["pixels"], row["bits"]) == TABLE_SIZE:
            yield _row(row)


def error_rows() -> Iterator[str]:
    """Summarize how far estimates of operators are off, at all sizes."""
    yield "| engines | count | of | median error | greatest | off by more than 15 % and 100 |"
    yield "|---|---|---|---|---|---|"
    for held_back in (False, True):
        rows = [row for row in read_stages() if row["held_back"] is held_back]
        for kind, label in (("luts", "LUTs"), ("flip_flops", "flip-flops")):
            pairs = [(row["found"][kind], row["planned"][kind]) for row in rows]
            shares = [abs(planned / found - 1) for found, planned in pairs if found >= LARGE]
            wrong = sum(abs(planned - found) > max(SHARE * found, FEW) for found, planned in pairs)
            yield (
                f"| {'held back' if held_back else 'fitted'} | {len(rows)} | {label} | "
                f"{median(shares):.1%} | {max(shares):.1%} | {wrong} |"
            )


def _row(row: Mapping[str, Any]) -> str:
    found, planned = row["found"], row["planned"]
    operator = row["operator"] if row["stage"] == "op" else ""
    return (
        f"| {operator} | {'' if operator else row['stage']} | {found['luts']:,} | "
        f"{planned['luts']:,} | {found['flip_flops']:,} | {planned['flip_flops']:,} | "
        f"{found['dsps']} | {found['block_rams']} |"
    )

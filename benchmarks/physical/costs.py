"""The table of what each operator takes, for the documentation."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["RESULT", "cost_rows", "read_stages"]

RESULT = Path(__file__).parent / "results" / "operators.json"
TABLE_SIZE = (16, 16, 8)
"""Channels, pixels and bits of the rows that the table shows."""


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


def _row(row: Mapping[str, Any]) -> str:
    found, planned = row["found"], row["planned"]
    operator = row["operator"] if row["stage"] == "op" else ""
    return (
        f"| {operator} | {'' if operator else row['stage']} | {found['luts']:,} | "
        f"{planned['luts']:,} | {found['flip_flops']:,} | {planned['flip_flops']:,} | "
        f"{found['dsps']} | {found['block_rams']} |"
    )

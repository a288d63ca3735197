"""Print the result files as the tables of docs/benchmarks.md."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.engine.networks import NETWORKS

RESULTS = Path(__file__).parent / "results"


def pattern_rows(rows: list[Mapping[str, Any]]) -> Iterator[str]:
    """Every pattern on equal multipliers, beside dense."""
    yield "| pattern | cycles, simulated | of dense | MACs per multiplier and cycle |"
    yield "|---|---|---|---|"
    dense = rows[0]["cycles_simulated"]
    for row in rows:
        cycles, macs = row["cycles_simulated"], row["macs_per_multiplier_and_cycle"]
        yield f"| {row['name']} | {cycles:,} | {cycles / dense:.3f} | {macs:.2f} |"


def network_rows(results: list[Mapping[str, Any]]) -> Iterator[str]:
    """Whole networks, one a row."""
    yield (
        "| network | images | values, all equal | accuracy, RTL | multipliers | cycles per frame | "
        "latency | utilization |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for result in results:
        accuracy = result["accuracy_rtl"]
        cells = [
            result["network"],
            f"{result['images']:,}",
            f"{result['values_compared']:,}",
            "" if accuracy is None else f"{accuracy:.2%}",
            str(result["multipliers"]),
            f"{result['cycles_per_frame']:,}",
            f"{result['latency_cycles']:,}",
            f"{result['utilization']:.1%}",
        ]
        yield f"| {' | '.join(cells)} |"


def time_rows(results: list[Mapping[str, Any]]) -> Iterator[str]:
    """How long the tools took; in brackets the processor's seconds, all cores together."""
    yield "| network | plan | generate | build | simulate | images/s | cycles/s |"
    yield "|---|---|---|---|---|---|---|"
    for result in results:
        took, busy = result["seconds"], result.get("processor_seconds", {})
        cells = [
            result["network"],
            *(
                f"{took[step]:,.0f} s" + (f" ({busy[step]:,.0f} s)" if step in busy else "")
                for step in ("plan", "generate", "build", "simulate")
            ),
            f"{result['images_per_second']:.1f}",
            f"{result['cycles_per_second']:,}",
        ]
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    """Print whatever has been measured."""
    print(*pattern_rows(json.loads((RESULTS / "layers.json").read_text())["rows"]), "", sep="\n")
    paths = [RESULTS / f"{name}.json" for name in NETWORKS]
    results = [json.loads(path.read_text()) for path in paths if path.exists()]
    print(*network_rows(results), "", sep="\n")
    print(*time_rows(results), sep="\n")


if __name__ == "__main__":
    main()

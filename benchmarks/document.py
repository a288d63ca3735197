"""Write the tables of docs/benchmarks.md from the result files.

python -m benchmarks.document
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.engine import table as engine
from benchmarks.engine.networks import NETWORKS
from benchmarks.physical import table as physical
from benchmarks.pruning import table as pruning

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
"""Where a table stands in the page, and which."""


def tables() -> dict[str, Iterable[str]]:
    """Lines of each table, by name."""
    weights = [_read(path) for path in sorted(pruning.RESULTS.glob("*.json"))]
    names = [name for name in NETWORKS if (engine.RESULTS / f"{name}.json").exists()]
    networks = [_read(engine.RESULTS / f"{name}.json") for name in names]
    return {
        "weights": pruning.weight_rows([row for row in weights if "granularity" in row]),
        "filters": pruning.filter_rows([row for row in weights if "epochs_finetune" in row]),
        "layers": engine.pattern_rows(_read(engine.RESULTS / "layers.json")["rows"]),
        "networks": engine.network_rows(networks),
        "times": engine.time_rows(networks),
        "arrays": physical.array_rows(),
        "placed": physical.network_rows(),
        "models": physical.model_rows(),
    }


def filled(page: str) -> str:
    """Replace what stands between the marks of each table."""
    found = {name: "\n".join(rows) for name, rows in tables().items()}
    return TABLE.sub(lambda mark: f"{mark[1]}{found[mark[2]]}\n{mark[3]}", page)


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def main() -> None:
    temporary = PAGE.with_suffix(".part")
    temporary.write_text(filled(PAGE.read_text()))
    temporary.replace(PAGE)


if __name__ == "__main__":
    main()

"""Print the result files as the tables of docs/benchmarks.md."""

import json
from collections.abc import Iterator, Mapping
from statistics import mean, stdev
from typing import Any

from benchmarks.pruning.workbench import RESULTS


def weight_rows(results: list[Mapping[str, Any]]) -> Iterator[str]:
    yield (
        "| network | method | pattern | teacher | epochs | seeds | masks moved "
        "| float | 8 bit | 4 bit |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for rows in _by_seed(results):
        first = rows[0]
        shared = f", shared by {first['shared_by']}" if first["shared_by"] > 1 else ""
        kernel = " kernels" if first["granularity"] == "kernel" else ""
        cells = [
            first["network"],
            first["method"],
            f"{first['pattern']}{kernel}{shared}",
            first["teacher"] or "",
            f"{first['epochs_prune']} + {first['epochs_quantize']}",
            str(len(rows)),
            *(
                _mean([row.get(name) for row in rows])
                for name in ("moved", "accuracy_pruned_float", "accuracy_8bit", "accuracy_4bit")
            ),
        ]
        yield f"| {' | '.join(cells)} |"


def _by_seed(results: list[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Group rows that differ in their seed only."""
    names = (
        *("network", "pattern", "granularity", "shared_by", "teacher", "method"),
        *("epochs_prune", "epochs_quantize"),
    )
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for result in results:
        groups.setdefault(tuple(result[name] or "" for name in names), []).append(result)
    for _, rows in sorted(groups.items()):
        yield rows


def _mean(values: list[float | None]) -> str:
    """Mean and standard error over seeds, in percent."""
    given = [100 * value for value in values if value is not None]
    if len(given) < 2:
        return f"{given[0]:.2f}%" if given else ""
    return f"{mean(given):.2f} ± {stdev(given) / len(given) ** 0.5:.2f}%"


def filter_rows(results: list[Mapping[str, Any]]) -> Iterator[str]:
    yield "| method | MACs kept | parameters kept | epochs | dense | not fine-tuned | accuracy |"
    yield "|---|---|---|---|---|---|---|"
    for result in results:
        cells = [
            result["method"],
            _percent(result["macs_kept"]),
            _percent(result["parameters_kept"]),
            f"{result['epochs_search']} + {result['epochs_finetune']}",
            _percent(result["accuracy_dense"]),
            _percent(result["accuracy_without_finetuning"]),
            _percent(result["accuracy"]),
        ]
        yield f"| {' | '.join(cells)} |"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def main() -> None:
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    print(*weight_rows([r for r in results if "granularity" in r]), "", sep="\n")
    print(*filter_rows([r for r in results if "epochs_finetune" in r]), "", sep="\n")
    for result in results:
        if "granularity" not in result and "epochs_finetune" not in result:
            print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

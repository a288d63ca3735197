"""Print the result files as the tables of docs/benchmarks.md."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.pruning.workbench import RESULTS


def weight_rows(results: list[Mapping[str, Any]]) -> Iterator[str]:
    yield "| network | method | pattern | epochs | dense | pruned float | 8 bit | 4 bit |"
    yield "|---|---|---|---|---|---|---|---|"
    for result in results:
        shared = f", shared by {result['shared_by']}" if result["shared_by"] > 1 else ""
        kernel = " kernels" if result["granularity"] == "kernel" else ""
        cells = [
            result["network"],
            result["method"],
            f"{result['pattern']}{kernel}{shared}",
            f"{result['epochs_prune']} + {result['epochs_quantize']}",
            *(
                _percent(result.get(f"accuracy_{name}"))
                for name in ("dense_float", "pruned_float", "8bit", "4bit")
            ),
        ]
        yield f"| {' | '.join(cells)} |"


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

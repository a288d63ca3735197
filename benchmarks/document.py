"""Write the tables of the documentation: measured ones from result files, others from the code.

python -m benchmarks.document
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.engine import table as engine
from benchmarks.engine.networks import NETWORKS
from benchmarks.exchange.table import few_bit_rows, runtime_rows
from benchmarks.physical import costs
from benchmarks.physical import table as physical
from benchmarks.pruning import data_free, post_training, quantized
from benchmarks.pruning import table as pruning
from benchmarks.pruning.digits import table as digits
from benchmarks.tflite import table as tflite
from benchmarks.tuning import equal, front, learned, searches
from benchmarks.zoo import table as zoo
from systolith.exchange import operator_rows, rewrite_rows, type_rows
from systolith.hls4ml_backend.layers.refused import hls4ml_rewrite_rows

DOCS = Path(__file__).parent.parent / "docs"
PAGES = tuple(DOCS / f"{name}.md" for name in ("benchmarks", "hls4ml", "onnx", "tflite", "zoo"))
TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
"""Where a table stands in the page, and which."""


def rows_of(name: str) -> Iterable[str]:
    """Lines of a table."""
    match name:
        case "weights":
            return pruning.weight_rows([row for row in _pruned() if "granularity" in row])
        case "filters":
            return pruning.filter_rows([row for row in _pruned() if "epochs_finetune" in row])
        case "untrained":
            path = pruning.RESULTS / f"{post_training.NAME}.json"
            return post_training.table_rows(_read(path), _pruned())
        case "digit_masks":
            return digits.mask_rows()
        case "digit_curves":
            return digits.curve_rows()
        case "digit_filters":
            return digits.filter_rows()
        case "digit_patterns":
            return digits.pattern_rows()
        case "data_free":
            return data_free.table_rows(_read(pruning.RESULTS / f"{data_free.NAME}.json"))
        case "untrained_digits":
            path = pruning.RESULTS / "digits-posttraining.json"
            return post_training.digits_rows(_read(path)["trials"])
        case "agreement":
            rows = _read(pruning.RESULTS / "agreement.json")["rows"]
            return quantized.agreement_rows(rows)
        case "post_training":
            return quantized.post_training_rows(_read(pruning.RESULTS / f"{quantized.NAME}.json"))
        case "layers":
            return engine.pattern_rows(_read(engine.RESULTS / "layers.json")["rows"])
        case "networks":
            return engine.network_rows(_simulated())
        case "times":
            return engine.time_rows(_simulated())
        case "arrays":
            return physical.array_rows()
        case "placed":
            return physical.network_rows()
        case "models":
            return physical.model_rows(_read(physical.RESULTS / "models.json")["designs"])
        case "searched":
            return searches.table_rows(_read(searches.RESULTS / "searches.json"))
        case "built":
            return front.built_rows(_read(front.RESULTS / "digits.json")["built"])
        case "front":
            return front.front_rows(_read(front.RESULTS / "resnet8.json")["front"])
        case "learned":
            return learned.table_rows(_read(learned.RESULT)["median"])
        case "operators":
            return operator_rows()
        case "hls4ml_rewrites":
            return hls4ml_rewrite_rows()
        case "types":
            return type_rows()
        case "rewrites":
            return rewrite_rows()
        case "tflite_operators":
            return tflite.operator_rows()
        case "tflite_files":
            return tflite.result_rows()
        case "tflite_rtl":
            return tflite.rtl_rows()
        case "tflite_narrow":
            return tflite.narrow_rows()
        case "tflite_cifar10":
            return tflite.cifar_rows()
        case "runtime":
            return runtime_rows()
        case "few_bits":
            return few_bit_rows()
        case "zoo_cards":
            return zoo.card_rows()
        case "zoo_rtl":
            return zoo.rtl_rows()
        case "operator_costs":
            return costs.cost_rows()
        case "operator_errors":
            return costs.error_rows()
        case "equal":
            return equal.table_rows(list(equal.summary(_read(equal.RESULT)["runs"])))
    raise ValueError(f"there is no table {name!r}")


def filled(page: str) -> str:
    """Replace what stands between the marks of each table."""

    def table(mark: re.Match[str]) -> str:
        rows = "\n".join(rows_of(mark[2]))
        return f"{mark[1]}{rows}\n{mark[3]}"

    return TABLE.sub(table, page)


def _pruned() -> list[Any]:
    return [_read(path) for path in sorted(pruning.RESULTS.glob("*.json"))]


def _simulated() -> list[Any]:
    names = [name for name in NETWORKS if (engine.RESULTS / f"{name}.json").exists()]
    return [_read(engine.RESULTS / f"{name}.json") for name in names]


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def main() -> None:
    for page in PAGES:
        temporary = page.with_suffix(".part")
        temporary.write_text(filled(page.read_text()))
        temporary.replace(page)


if __name__ == "__main__":
    main()

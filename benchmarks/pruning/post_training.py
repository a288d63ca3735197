"""Exact k-out-of-n weights without any training: ResNet-8, 20 and 56 on all test images."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import nn

from benchmarks.pruning.workbench import Workbench
from systolith.data import Dataset
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    MaskSet,
    Pruner,
    ReconstructingPruner,
    ScorePruner,
    all_convolutions_but_first,
    measure_batch_norms,
    prunable_layers,
    recalibrate_batch_norms_,
)
from systolith.quant import LayerBits, QuantConfig, prepare, reconstruct_
from systolith.train import evaluate

__all__ = ["NAME", "digits_rows", "run", "table_rows"]

NAME = "post-training"
PATTERNS = ((2, 4), (1, 4), (2, 8))
NETWORKS = ("resnet8", "resnet20", "resnet56")
BITS = (8, 4)
IMAGES = 512
"""First training images, not augmented; nothing else of the training data is read."""


def run(bench: Workbench) -> None:
    """Measure all rows in float, then quantized; write the file after each row."""
    rows: dict[tuple[str, int, int], Mapping[str, Any]] = {}
    for bits in ((), BITS):
        for network in NETWORKS:
            for k, n in PATTERNS:
                rows[network, k, n] = _row(bench, network, k, n, bits)
                bench.record(NAME, {"images": IMAGES, "rows": list(rows.values())})


def _row(bench: Workbench, network: str, k: int, n: int, widths: Sequence[int]) -> dict[str, Any]:
    """Measure one network with one pattern; each accuracy is a stage of its own."""
    data, name = bench.data(network), f"{NAME}-{network}-{k}of{n}"
    images = data.train_images[:IMAGES]
    dense = bench.stage(
        f"{NAME}-{network}-dense", lambda: {"accuracy": _accuracy(bench.trained(network), data)}
    )
    model = bench.trained(network)
    patterns = all_convolutions_but_first(model, Pattern(select=KOutOfN(k, n)))

    def reconstruct() -> Mapping[str, Any]:
        start = time.process_time()
        before = measure_batch_norms(model, images)
        masks = ReconstructingPruner(patterns=patterns, images=images).prune_(model)
        recalibrate_batch_norms_(model, images, before)
        return {
            "model": model.state_dict(),
            "masks": dict(masks),
            "patterns": dict(masks.patterns),
            "seconds": round(time.process_time() - start, 1),
        }

    pruned = bench.stage(f"{name}-obs", reconstruct)
    model.load_state_dict(pruned["model"])
    masks = MaskSet(pruned["masks"], pruned["patterns"])
    row: dict[str, Any] = {
        "network": network,
        "pattern": f"{k}-of-{n}",
        "processor_seconds": pruned["seconds"],
        "accuracy_dense": dense["accuracy"],
    }

    def judge(label: str, changed: nn.Module) -> None:
        stage = bench.stage(f"{name}-{label}", lambda: {"accuracy": _accuracy(changed, data)})
        row[f"accuracy_{label}"] = stage["accuracy"]

    judge("float", model)
    plain = bench.trained(network)
    before = measure_batch_norms(plain, images)
    pruner: Pruner = ScorePruner(patterns=patterns)
    pruner.masks(plain).apply_(plain)
    judge("magnitude", plain)
    recalibrate_batch_norms_(plain, images, before)
    judge("magnitude_recalibrated", plain)
    for bits in widths:
        quantized = prepare(model, images, _config(model, data, bits), masks)
        reconstruct_(quantized, images)
        judge(f"w{bits}a8", quantized)
    return row


def _config(model: nn.Module, data: Dataset, bits: int) -> QuantConfig:
    """Give all layers `bits`-bit weights, but the first and the last one 8; activations have 8."""
    first, *_, last = prunable_layers(model)
    return QuantConfig(
        weight_bits=bits,
        act_bits=8,
        layers={first: LayerBits(weight_bits=8), last: LayerBits(weight_bits=8)},
        input_signed=bool(data.train_images.min() < 0),
    )


def _accuracy(model: nn.Module, data: Dataset) -> float:
    return evaluate(model, data.test_images, data.test_labels)


def table_rows(result: Mapping[str, Any], trained: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Lines of the table in docs/benchmarks.md; `trained` are result files of trained masks."""
    yield (
        "| network | pattern | dense | magnitude | magnitude, batch norms recalibrated | obs "
        "| obs, 8 bits | obs, 4-bit weights | processor seconds "
        "| SR-STE: epochs | float | 4-bit weights |"
    )
    yield f"|{'---|' * 12}"
    for row in result["rows"]:
        labels = ("dense", "magnitude", "magnitude_recalibrated", "float", "w8a8", "w4a8")
        values = (row.get(f"accuracy_{label}") for label in labels)
        cells = [
            row["network"],
            row["pattern"],
            *("" if value is None else f"{value:.2%}" for value in values),
            f"{row['processor_seconds']:.0f}",
            *_trained_cells(row, trained),
        ]
        yield f"| {' | '.join(cells)} |"


def _trained_cells(
    row: Mapping[str, Any], trained: Sequence[Mapping[str, Any]]
) -> tuple[str, str, str]:
    """Epochs and accuracies of the longest training with the same pattern."""
    wanted = {
        "method": "srste",
        "granularity": "weight",
        "shared_by": 1,
        "network": row["network"],
        "pattern": row["pattern"],
        "teacher": None,
    }
    equal = [
        other
        for other in trained
        if all(other.get(name) == value for name, value in wanted.items()) and not other.get("seed")
    ]
    if not equal:
        return "", "", ""
    longest = max(equal, key=lambda other: float(other["epochs_prune"]))
    return (
        f"{longest['epochs_prune']} + {longest['epochs_quantize']}",
        f"{longest['accuracy_pruned_float']:.2%}",
        f"{longest['accuracy_4bit']:.2%}",
    )


def digits_rows(trials: Mapping[str, Any]) -> Iterator[str]:
    """Lines of the table of methods on digits; trials of benchmarks.pruning.digits.posttraining."""
    methods = {
        "magnitude": "magnitude",
        "wanda": "wanda",
        "random-least-squares": "random masks, least squares",
        "magnitude-least-squares": "masks by magnitude, least squares",
        "obs": "obs",
    }
    yield "| method | 1-of-8 | accuracy | kernels 2-of-8 | accuracy |"
    yield "|---|---|---|---|---|"
    for method, label in methods.items():
        cells = [label]
        for pattern in ("1of8", "kernels-2of8"):
            trial = trials[f"{method}-{pattern}-recalibrated"]
            loss, accuracy = trial["test_loss"], trial["accuracy"]
            cells.append(f"{loss['mean']:.3f} ± {loss['standard_error']:.3f}")
            cells.append(f"{accuracy['mean']:.1%}")
        yield f"| {' | '.join(cells)} |"

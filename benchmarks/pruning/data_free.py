"""Images made from a network, against true images and noise: ResNet-20 pruned without training."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from benchmarks.pruning.workbench import Workbench
from systolith.network import KOutOfN, Pattern
from systolith.prune import (
    ReconstructingPruner,
    all_convolutions_but_first,
    distill_images,
    measure_batch_norms,
    recalibrate_batch_norms_,
)
from systolith.train import evaluate

__all__ = ["NAME", "run", "table_rows"]

NAME = "data-free"
NETWORK, IMAGES = "resnet20", 128
PATTERNS = ((2, 4), (1, 4))


def run(bench: Workbench) -> Mapping[str, Any]:
    """Measure each kind of images with each pattern, on all test images."""
    return {
        "network": NETWORK,
        "images": IMAGES,
        "rows": [
            dict(
                bench.stage(
                    f"{NAME}-{kind}-{k}of{n}", lambda kind=kind, k=k, n=n: _row(bench, kind, k, n)
                )
            )
            for kind in KINDS
            for k, n in PATTERNS
        ],
    }


def _true(bench: Workbench) -> Tensor:
    return bench.data(NETWORK).train_images[:IMAGES]


def _made(bench: Workbench) -> Tensor:
    def make() -> Mapping[str, Any]:
        shape = tuple(_true(bench).shape[1:])
        return {"images": distill_images(bench.trained(NETWORK), shape, IMAGES)}

    images: Tensor = bench.stage(f"{NAME}-images", make)["images"]
    return images


def _noise(bench: Workbench) -> Tensor:
    return torch.randn(_true(bench).shape, generator=torch.Generator().manual_seed(0))


KINDS: Mapping[str, Callable[[Workbench], Tensor]] = {
    "training images": _true,
    "made from batch norms": _made,
    "noise": _noise,
}


def _row(bench: Workbench, kind: str, k: int, n: int) -> Mapping[str, Any]:
    model, data, images = bench.trained(NETWORK), bench.data(NETWORK), KINDS[kind](bench)
    patterns = all_convolutions_but_first(model, Pattern(select=KOutOfN(k, n)))
    before = measure_batch_norms(model, images)
    ReconstructingPruner(patterns=patterns, images=images).prune_(model)
    recalibrate_batch_norms_(model, images, before)
    accuracy = evaluate(model, data.test_images, data.test_labels)
    return {"images": kind, "pattern": f"{k}-of-{n}", "accuracy": accuracy}


def table_rows(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines of the table in docs/benchmarks.md."""
    labels = [f"{k}-of-{n}" for k, n in PATTERNS]
    found = {(row["images"], row["pattern"]): row["accuracy"] for row in result["rows"]}
    yield f"| images | {' | '.join(labels)} |"
    yield f"|{'---|' * (1 + len(labels))}"
    for kind in KINDS:
        yield f"| {kind} | {' | '.join(f'{found[kind, label]:.2%}' for label in labels)} |"
